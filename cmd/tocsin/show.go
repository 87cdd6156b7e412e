package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
)

// show writes objects of one kind as a table, YAML or JSON.
func show(objects []any, kind, output string, out io.Writer) error {
	switch output {
	case "yaml":
		text, err := manifest.Encode(objects...)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(objects)
	}
	if len(objects) == 0 {
		_, err := fmt.Fprintf(out, "there are no %s\n", kind)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, heading(kind))
	for _, o := range objects {
		fmt.Fprintln(table, printable(line(o)))
	}
	return table.Flush()
}

func heading(kind string) string {
	switch kind {
	case "systems":
		return "ID\tNAME\tTAGS\tGROUPS"
	case "checks":
		return "ID\tNAME\tSCHEDULE\tCOLLECTS\tSYSTEMS"
	case "rules":
		return "ID\tNAME\tON\tENABLED"
	case "channels":
		return "ID\tNAME\tUSES"
	}
	return "ID\tNAME\tSTARTS\tENDS"
}

func line(object any) string {
	const instant = "2006-01-02 15:04 MST"
	switch o := object.(type) {
	case *core.System:
		var tags []string
		for _, key := range slices.Sorted(maps.Keys(o.Tags)) {
			tags = append(tags, key+"="+o.Tags[key])
		}
		return strings.Join([]string{o.ID, o.Label(), strings.Join(tags, ","), strings.Join(o.Groups, ",")}, "\t")
	case *core.Check:
		schedule := "every " + o.Every.String()
		if o.Cron != "" {
			schedule = o.Cron
		}
		var uses []string
		for _, c := range o.Collect {
			uses = append(uses, c.Use)
		}
		systems := strings.Join(o.Systems.Names, ",")
		if o.Systems.Match != "" {
			systems = o.Systems.Match
		}
		return strings.Join([]string{o.ID, o.Label(), schedule, strings.Join(uses, ","), systems}, "\t")
	case *core.Rule:
		var on []string
		for _, t := range o.On {
			on = append(on, t.Event)
		}
		return fmt.Sprintf("%s\t%s\t%s\t%t", o.ID, o.Label(), strings.Join(on, ","), !o.Disabled)
	case *core.Maintenance:
		return o.ID + "\t" + o.Name + "\t" + o.Starts.Local().Format(instant) + "\t" + o.Ends.Local().Format(instant)
	case *core.Channel:
		return o.ID + "\t" + o.Name + "\t" + o.Use
	case *core.Silence:
		return o.ID + "\t" + o.Name + "\t" + o.Starts.Local().Format(instant) + "\t" + o.Ends.Local().Format(instant)
	}
	return ""
}

// printable drops what could move the cursor or colour a terminal; tabs stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, text)
}
