package guest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/guest"
)

type settings struct {
	URL    string            `json:"url" format:"uri" doc:"where"`
	Mode   string            `json:"mode" enum:"fast,slow" default:"fast"`
	Limit  int               `json:"limit" default:"10" minimum:"1" maximum:"99"`
	Ratio  *float64          `json:"ratio,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Names  []string          `json:"names,omitempty"`
	hidden int
}

// fake is a host with one page.
type fake struct{ logged []string }

func (*fake) HTTP(request []byte) []byte {
	var q abi.HTTPRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil
	}
	if q.URL != "http://page/" {
		return []byte(`{"error":{"code":"denied","message":"not granted"}}`)
	}
	return []byte(`{"status":200,"body":"{\"n\":3}"}`)
}
func (f *fake) Log(_ guest.Level, text string) { f.logged = append(f.logged, text) }
func (*fake) Now() time.Time                   { return time.Unix(7, 0) }
func (*fake) Random(b []byte)                  { clear(b) }

func TestSchema(t *testing.T) {
	got, err := guest.Schema(settings{hidden: 1})
	want := `{"type":"object","properties":{` +
		`"limit":{"type":"integer","default":10,"minimum":1,"maximum":99},` +
		`"mode":{"type":"string","enum":["fast","slow"],"default":"fast"},` +
		`"names":{"type":"array","items":{"type":"string"}},` +
		`"ratio":{"type":"number"},` +
		`"tags":{"type":"object","additionalProperties":{"type":"string"}},` +
		`"url":{"type":"string","description":"where","format":"uri"}},"required":["url"],"additionalProperties":false}`
	if err != nil || string(got) != want {
		t.Errorf("Schema = %s, %v\nwant %s", got, err, want)
	}
	for _, bad := range []any{3, struct{ C chan int }{}, struct {
		N int `default:"x"`
	}{}, struct {
		N int `minimum:"x"`
	}{}} {
		if got, err := guest.Schema(bad); err == nil {
			t.Errorf("Schema of %T = %s, want an error", bad, got)
		}
	}
}

func TestRun(t *testing.T) {
	c := guest.Collector{Name: "x", Collect: func(run *guest.Run) guest.Result {
		var s settings
		if err := run.Decode(&s); err != nil {
			return guest.Error(err)
		}
		if s.URL == "panic" {
			panic("on purpose")
		}
		run.Log(guest.LevelInfo, "asking "+s.URL)
		var page struct{ N int }
		if err := run.FetchJSON(s.URL, &page); err != nil {
			return guest.Unreached(err)
		}
		return guest.Pass(fmt.Sprintf("%s %d %d at %d", s.Mode, s.Limit, page.N, run.Now().Unix()), guest.Samples{"n": page.N})
	}}
	for _, x := range []struct{ config, outcome, text string }{
		{`{"url":"http://page/","limit":5}`, abi.Pass, "fast 5 3 at 7"},
		{`{"url":"http://other/"}`, abi.Error, "not granted (denied)"},
		{`{"url":3}`, abi.Error, "configuration: "},
		{`{"url":"panic"}`, abi.Error, "panic: on purpose"},
	} {
		got := c.Run([]byte(`{"config":`+x.config+`}`), &fake{})
		if got.Outcome != x.outcome || !strings.Contains(got.Summary+got.Error, x.text) {
			t.Errorf("Run with %s = %+v, want %s %q", x.config, got, x.outcome, x.text)
		}
	}
	if got := c.Run([]byte(`{`), &fake{}); got.Outcome != abi.Error {
		t.Errorf("Run of half a request = %+v", got)
	}
}

func ExampleCollector() {
	c := guest.Collector{
		Name:    "lucky",
		Version: "1.0.0",
		Samples: []abi.Sample{{Name: "number", Type: "integer"}},
		Collect: func(run *guest.Run) guest.Result {
			var b [1]byte
			run.Random(b[:])
			if b[0] > 200 {
				return guest.Fail("out of luck", guest.Samples{"number": b[0]})
			}
			return guest.Pass("lucky", guest.Samples{"number": b[0]})
		},
	}
	guest.Register(c) // from init
	fmt.Println(c.Run([]byte(`{"config":{}}`), &fake{}).Summary)
	// Output: lucky
}

func TestUnreached(t *testing.T) {
	if got := guest.Unreached(errors.New("refused")); got.Outcome != abi.Fail {
		t.Errorf("Unreached = %+v, want fail", got)
	}
}
