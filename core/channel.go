package core

// Channel is a named place that notifications go to. Rules tell it with the step
// notify.
type Channel struct {
	ID   string         `json:"id" doc:"identity; letters, digits, '.', '_', '-'"`
	Name string         `json:"name,omitempty" doc:"what people call it; the id when empty"`
	Use  string         `json:"use" doc:"webhook, slack or email"`
	With map[string]any `json:"with" doc:"what it takes; text may hold \\${expr} over the message, and {secret: name}"`
	Note string         `json:"note,omitempty" doc:"free text for people"`
}
