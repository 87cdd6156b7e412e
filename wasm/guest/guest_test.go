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

func (*fake) Call(name string, request []byte) []byte {
	answers := map[string]string{
		"tcp": `{"conn":1}`, "tls_info": `{"verified":true}`, "dns": `{"records":["192.0.2.1"]}`, "kv_get": `{"found":true,"value":"v"}`,
		"kv_set": `{"error":{"code":"quota","message":"full"}}`, "secret": `{"handle":"h"}`, "reveal": `{"error":{"code":"denied","message":"no"}}`,
	}
	if name != "http" {
		return []byte(answers[name])
	}
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
	for _, x := range []struct {
		err     error
		outcome string
	}{
		{errors.New("refused"), abi.Fail},
		{&abi.CallError{Code: abi.CodeConnect}, abi.Fail},
		{&abi.CallError{Code: abi.CodeTimeout}, abi.Fail},
		{&abi.CallError{Code: abi.CodeDenied}, abi.Error},
		{fmt.Errorf("ask: %w", &abi.CallError{Code: abi.CodeQuota}), abi.Error},
		{&abi.CallError{Code: abi.CodeInvalid}, abi.Error},
		{&abi.CallError{Code: abi.CodeNotFound}, abi.Error},
	} {
		if got := guest.Unreached(x.err); got.Outcome != x.outcome || got.Error == "" {
			t.Errorf("Unreached of %v = %+v, want %s", x.err, got, x.outcome)
		}
	}
}

// What is at hand becomes a Result.
func TestOf(t *testing.T) {
	type point struct {
		X int    `json:"x"`
		Y string `json:"y"`
	}
	for _, x := range []struct {
		answer any
		err    error
		want   string
	}{
		{nil, nil, `{"outcome":"pass"}`},
		{true, nil, `{"outcome":"pass"}`},
		{false, nil, `{"outcome":"fail","summary":"it does not hold","error":"it does not hold"}`},
		{7, nil, `{"outcome":"pass","summary":"7","samples":{"value":7}}`},
		{2.5, nil, `{"outcome":"pass","summary":"2.5","samples":{"value":2.5}}`},
		{"well", nil, `{"outcome":"pass","summary":"well"}`},
		{guest.Samples{"n": 1}, nil, `{"outcome":"pass","samples":{"n":1}}`},
		{point{1, "a"}, nil, `{"outcome":"pass","samples":{"x":1,"y":"a"}}`},
		{guest.Warn("hot", nil), nil, `{"outcome":"warn","summary":"hot","error":"hot"}`},
		{errors.New("gone"), nil, `{"outcome":"fail","summary":"gone","error":"gone"}`},
		{3, &abi.CallError{Code: abi.CodeDenied, Message: "no"}, `{"outcome":"error","error":"no (denied)"}`},
		{[]int{1}, nil, `{"outcome":"error","error":"answer: [1] is neither a number, text, true, false, samples nor a Result"}`},
		{func() {}, nil, `{"outcome":"error","error":"answer: json: unsupported type: func()"}`},
	} {
		got, err := json.Marshal(guest.Of(x.answer, x.err))
		if err != nil || string(got) != x.want {
			t.Errorf("Of %v, %v = %s, %v\nwant %s", x.answer, x.err, got, err, x.want)
		}
	}
}

// A module can offer an action and functions.
func TestOffers(t *testing.T) {
	host := &fake{}
	c := guest.Collector{
		Name: "both", Version: "1",
		Action: &guest.Action{
			Config: struct {
				Room string `json:"room"`
			}{},
			Outputs: []abi.Sample{{Name: "id", Type: "string"}},
			Act: func(run *guest.Run) guest.ActResult {
				var config struct{ Room string }
				if err := run.Decode(&config); err != nil {
					return guest.Unsent(err)
				}
				switch config.Room {
				case "closed":
					return guest.Refused(errors.New("closed"))
				case "full":
					return guest.Again(errors.New("full"), 2*time.Second)
				case "denied":
					_, err := run.HTTP(abi.HTTPRequest{URL: "http://other/"})
					return guest.Unsent(err)
				case "gone":
					return guest.Unsent(errors.New("gone"))
				case "panic":
					panic("on purpose")
				}
				return guest.Done("told", guest.Samples{"id": run.Request.Step.Key})
			},
		},
		Functions: []guest.Function{{
			Name: "scale", Params: []abi.Param{{Name: "x", Type: "number"}, {Name: "by", Type: "string"}}, Returns: "number",
			Call: func(args guest.Args) (any, error) {
				if args.Text(1) == "" {
					return nil, errors.New("by what?")
				}
				return args.Number(0) * float64(len(args.Text(1))), nil
			},
		}},
	}
	m, err := c.Manifest()
	if err != nil || strings.Join(m.Offers, " ") != "action function" || m.ConfigSchema != nil || len(m.Functions) != 1 || !strings.Contains(string(m.Action.ConfigSchema), "room") {
		t.Errorf("Manifest = %+v, %v", m, err)
	}
	for room, want := range map[string]string{
		`"open"`:   `{"outcome":"pass","summary":"told","output":{"id":"k"}}`,
		`"closed"`: `{"outcome":"fail","error":"closed"}`,
		`"full"`:   `{"outcome":"error","error":"full","retry_after_ms":2000}`,
		`"denied"`: `{"outcome":"fail","error":"not granted (denied)"}`,
		`"gone"`:   `{"outcome":"error","error":"gone"}`,
		`"panic"`:  `{"outcome":"error","error":"panic: on purpose"}`,
		`3`:        `{"outcome":"fail","error":"configuration: json: cannot unmarshal number into Go struct field .Room of type string"}`,
	} {
		got, _ := json.Marshal(c.Act([]byte(`{"step":{"key":"k"},"config":{"room":`+room+`}}`), host))
		if string(got) != want {
			t.Errorf("Act in %s = %s, want %s", room, got, want)
		}
	}
	if len(host.logged) != 1 || host.logged[0] != "panic: on purpose" {
		t.Errorf("logged %q, want the panic", host.logged)
	}
	for args, want := range map[string]string{
		`[2,"ab"]`:  `{"value":4}`,
		`[2,""]`:    `{"value":null,"error":"by what?"}`,
		`[2]`:       `{"value":null,"error":"panic: argument 2 is asked for, there are 1"}`,
		`["2",""]`:  `{"value":null,"error":"by what?"}`,
		`["2","b"]`: `{"value":null,"error":"panic: argument 1 is a string, asked for as a float64"}`,
	} {
		got, _ := json.Marshal(c.Call("scale", []byte(`{"args":`+args+`}`), host))
		if string(got) != want {
			t.Errorf("Call of scale with %s = %s, want %s", args, got, want)
		}
	}
	if got := c.Call("other", []byte(`{}`), host); got.Error != "the module offers no function other" {
		t.Errorf("Call of a function that is not there: %+v", got)
	}
	if got := c.Run([]byte(`{}`), host); got.Error != "the module offers no collector" {
		t.Errorf("Run: %+v", got)
	}
}

// Each call asks the function of its name, and an error of the host is an error.
func TestCalls(t *testing.T) {
	c := guest.Collector{Name: "x", Collect: func(run *guest.Run) guest.Result {
		tcp, err := run.TCP(abi.TCPRequest{Op: "dial", Address: "a:1"})
		if err != nil || tcp.Conn != 1 {
			t.Errorf("TCP: %+v, %v", tcp, err)
		}
		info, err := run.TLSInfo(abi.TLSRequest{Host: "a"})
		if err != nil || !info.Verified {
			t.Errorf("TLSInfo: %+v, %v", info, err)
		}
		if records, err := run.DNS("a", "A"); err != nil || len(records) != 1 {
			t.Errorf("DNS: %v, %v", records, err)
		}
		if v, found, err := run.KVGet("k"); v != "v" || !found || err != nil {
			t.Errorf("KVGet: %q, %t, %v", v, found, err)
		}
		for _, err := range []error{run.KVSet("k", "v"), run.KVDelete("k")} {
			if why, ok := errors.AsType[*abi.CallError](err); !ok || why.Code != abi.CodeQuota {
				t.Errorf("KVSet: %v", err)
			}
		}
		if h, err := run.Secret("s"); h != "h" || err != nil {
			t.Errorf("Secret: %q, %v", h, err)
		}
		if v, err := run.Reveal("s"); v != "" || err == nil {
			t.Errorf("Reveal: %q, %v", v, err)
		}
		return guest.Pass("done", nil)
	}}
	if got := c.Run([]byte(`{}`), &fake{}); got.Summary != "done" {
		t.Errorf("Run: %+v", got)
	}
}
