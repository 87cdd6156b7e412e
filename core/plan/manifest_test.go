package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
)

// What is wrong with a schema is found when the module is uploaded, with the
// place.
func TestCheckManifest(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"depth":{"type":"numbr"}}}`:                                                           "config_schema.properties.depth.type: \"numbr\" is not allowed; write one of array, boolean",
		`{"type":"object","properties":{"name":{"pattern":"["}}}`:                                                             `config_schema.properties.name.pattern: "[" is not a valid regex`,
		`{"$ref":"https://example.org/schema.json"}`:                                                                          "config_schema: a schema must not refer to https://example.org/schema.json",
		`{"$ref":"#/$defs/nothing"}`:                                                                                          "config_schema: ",
		`{"required":"url"}`:                                                                                                  "config_schema.required: it is text, not a list",
		`{"properties":{"max":{"type":"integer","default":"ten"}}}`:                                                           "config_schema.properties.max.default: the default is refused by its own schema: it is text, not a whole number",
		`{"properties":{"a":{"properties":{"b":{"minimum":3,"default":1}}}}}`:                                                 "config_schema.properties.a.properties.b.default: the default is refused by its own schema: 1 is less than 3",
		`{"properties":{"max":{"type":"integer","default":10},"url":{"format":"uri","default":"https://a.example"}}}`:         "",
		`{"$defs":{"port":{"type":"integer"}},"properties":{"port":{"$ref":"#/$defs/port","default":"none"}}}`:                "",
		`{"properties":{"tree":{"$ref":"#"}}}`:                                                                                "",
		`{"properties":{"when":{"type":"string","format":"date-time","default":"2026-01-01T00:00:00Z"}},"required":["when"]}`: "",
	} {
		got := plan.CheckManifest(core.Manifest{Schema: json.RawMessage(schema)})
		if (len(got) > 0) != (want != "") || want != "" && !strings.HasPrefix(got.Error(), want) {
			t.Errorf("CheckManifest of %s = %v, want %q", schema, got, want)
		}
	}
	got := plan.CheckManifest(core.Manifest{
		Action:    &core.ActionDecl{Schema: json.RawMessage(`{"minimum":"one"}`)},
		Functions: []core.FunctionDecl{{Name: "score"}, {Name: "len"}, {Name: "filter"}},
	})
	if len(got) != 3 || got[0].Path != "action.config_schema.minimum" || got[1].Path != "functions[1].name" || got[2].Path != "functions[2].name" {
		t.Errorf("CheckManifest = %v", got)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	s, err := plan.NewSchema(json.RawMessage(`{
		"type": "object", "additionalProperties": false, "required": ["url", "room", "max"],
		"properties": {
			"url": {"type": "string", "format": "uri"}, "room": {"type": "string", "minLength": 1}, "max": {"type": "integer", "default": 10},
			"retry": {"type": "object", "properties": {"times": {"type": "integer", "default": 3}}}
		}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		with map[string]any
		want []string
	}{
		{map[string]any{"url": "https://a.example/x", "room": "ops"}, nil},
		{map[string]any{"url": "${system.tags.url}", "room": map[string]any{"secret": "room"}}, nil},
		{map[string]any{"url": "a b", "room": "ops"}, []string{`url: "a b" is not a valid uri`}},
		{map[string]any{"url": "https://a.example/x", "rom": "ops"}, []string{"room: room is missing", `rom: unknown field "rom"; did you mean "room"?`}},
		{map[string]any{"url": "https://a.example/x", "room": "ops", "max": "10"}, []string{"max: it is text, not a whole number"}},
		{map[string]any{"url": "https://a.example/x", "room": "ops", "retry": map[string]any{"times": 1.5}}, []string{"retry.times: it is a number, not a whole number"}},
	} {
		got := s.Check(c.with)
		if len(got) != len(c.want) {
			t.Errorf("Check(%v) = %v, want %q", c.with, got, c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(got.Error(), want) {
				t.Errorf("Check(%v) = %v, want %q", c.with, got, c.want)
			}
		}
	}
	with := map[string]any{"url": "u", "retry": map[string]any{}}
	got := s.Fill(with)
	if text, _ := json.Marshal(got); string(text) != `{"max":10,"retry":{"times":3},"url":"u"}` || len(with) != 2 {
		t.Errorf("Fill = %s, and %v", text, with)
	}
}
