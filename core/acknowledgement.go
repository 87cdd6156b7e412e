package core

import "time"

// Acknowledgement says that a person takes care of an Episode that fired: it
// fires no more and its notifications are not repeated. Its recovery is told as
// ever. It ends with the episode.
type Acknowledgement struct {
	Episode string    `json:"episode"`
	Rule    string    `json:"rule"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment,omitempty"`
}

// String is a for people.
func (a Acknowledgement) String() string {
	text := "acknowledged by " + a.By
	if a.Comment != "" {
		text += ": " + a.Comment
	}
	return text
}
