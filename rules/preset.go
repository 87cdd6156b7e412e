package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// Preset is a gate with a name: a short way to write fields that one could
// write oneself, and nothing more.
type Preset struct {
	Name string
	Use  string // what it is for, and with which trigger
	Gate core.Gate
}

// Presets lists the gates that have a name, the one to begin with first.
func Presets() []Preset {
	minutes := func(n int) core.Duration { return core.Duration(time.Duration(n) * time.Minute) }
	return []Preset{
		{
			Name: "steady", Use: "with run.failed: told once of an outage and of anything that keeps failing now and then, and once more when it is well again; a blip is not told of",
			Gate: core.Gate{Window: &core.Window{Count: 3, Of: 20}},
		},
		{
			Name: "page-once", Use: "with health.unhealthy: told at once, and of the next outage at the earliest an hour after this one is over",
			Gate: core.Gate{Cooldown: minutes(60)},
		},
		{
			Name: "flap-summary", Use: "with health.changed: told when it changes often, and each hour for as long as it does",
			Gate: core.Gate{Window: &core.Window{Count: 4, Within: minutes(15), Refire: core.Refire{Each: minutes(60)}}},
		},
		{
			Name: "prometheus", Use: "with health.changed or run.failed: as for: 5m of an alert in Prometheus, it must hold for five minutes without a break",
			Gate: core.Gate{For: minutes(5)},
		},
		{
			Name: "nagios", Use: "with run.failed: as flap detection in Nagios, it opens at 20 % of the newest 20 results and closes at 5 %",
			Gate: core.Gate{Window: &core.Window{Count: 4, Of: 20, Exit: 1}},
		},
	}
}

// presetNames are the names, in order.
func presetNames() []string {
	var out []string
	for _, p := range Presets() {
		out = append(out, p.Name)
	}
	return out
}

// WriteOut is g with its preset written out: what g says itself goes before
// what the preset says. A preset that is not known adds nothing.
func WriteOut(g core.Gate) core.Gate {
	for _, p := range Presets() {
		if p.Name != g.Preset {
			continue
		}
		full := p.Gate
		full.By, full.While = g.By, g.While
		if g.For > 0 {
			full.For = g.For
		}
		if g.Window != nil {
			full.Window = g.Window
		}
		if g.Cooldown > 0 {
			full.Cooldown = g.Cooldown
		}
		return full
	}
	g.Preset = ""
	return g
}

// preset checks the name of a preset.
func (b *builder) preset(name string) {
	known := presetNames()
	if name == "" || slices.Contains(known, name) {
		return
	}
	fix := "there are " + strings.Join(known, ", ")
	if near := lang.Nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	b.bad("gate.preset", "gate", fix, "there is no preset %q", name)
}
