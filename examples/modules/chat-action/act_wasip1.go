package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unsafe"

	"github.com/tocsin-io/tocsin/wasm/abi"
)

const manifest = `{
  "abi": "tocsin/1", "name": "chat", "version": "1.0.0", "doc": "Writes to a room of a chat.",
  "offers": ["action"],
  "action": {
    "config_schema": {
      "type": "object", "additionalProperties": false, "required": ["url", "room", "text"],
      "properties": {
        "url": {"type": "string", "format": "uri", "description": "where the chat is"},
        "room": {"type": "string", "minLength": 1, "description": "where to write"},
        "text": {"type": "string", "description": "what to write"},
        "color": {"type": "string", "enum": ["red", "yellow", "green"], "default": "red"}
      }
    },
    "outputs": [{"name": "message", "type": "string", "doc": "id of the message"}, {"name": "status", "type": "integer"}]
  },
  "wants": {"http": ["https://*:*", "http://*:*"], "private": true}
}`

//go:wasmexport tocsin_abi_v1
func mark() int32 { return 1 }

//go:wasmexport tocsin_describe
func describe() int32 {
	write([]byte(manifest))
	return 0
}

//go:wasmexport tocsin_act
func act() int32 {
	out, err := json.Marshal(send())
	if err != nil {
		return 1
	}
	write(out)
	return 0
}

type config struct {
	URL   string `json:"url"`
	Room  string `json:"room"`
	Text  string `json:"text"`
	Color string `json:"color"`
}

// send writes the message and says what became of it.
func send() abi.ActResponse {
	var q abi.Request
	var c config
	if err := json.Unmarshal(read(), &q); err != nil {
		return abi.ActResponse{Outcome: abi.Fail, Error: err.Error()}
	}
	if err := json.Unmarshal(q.Config, &c); err != nil {
		return abi.ActResponse{Outcome: abi.Fail, Error: err.Error()}
	}
	body, _ := json.Marshal(map[string]string{"room": c.Room, "text": c.Text, "color": c.Color})
	say(fmt.Sprintf("attempt %d for room %s", q.Step.Attempt, c.Room))
	answer := ask(abi.HTTPRequest{
		Method: "POST", URL: c.URL, Body: string(body),
		// The key is the same in every attempt: the chat writes the message once.
		Headers: map[string]string{"Content-Type": "application/json", "Idempotency-Key": q.Step.Key},
	})
	switch {
	case answer.Error != nil && answer.Error.Code == abi.CodeDenied:
		return abi.ActResponse{Outcome: abi.Fail, Error: answer.Error.Message}
	case answer.Error != nil:
		return abi.ActResponse{Outcome: abi.Error, Error: answer.Error.Message}
	case answer.Status == 429:
		seconds, _ := strconv.Atoi(answer.Headers["retry-after"])
		return abi.ActResponse{Outcome: abi.Error, Error: "the chat asks to wait", RetryAfterMS: int64(seconds) * 1000}
	case answer.Status >= 500:
		return abi.ActResponse{Outcome: abi.Error, Error: fmt.Sprintf("the chat answered %d", answer.Status)}
	case answer.Status >= 300:
		return abi.ActResponse{Outcome: abi.Fail, Error: fmt.Sprintf("the chat answered %d", answer.Status)}
	}
	return abi.ActResponse{
		Outcome: abi.Pass, Summary: "written to " + c.Room,
		Output: map[string]any{"message": string(answer.Bytes()), "status": answer.Status},
	}
}

func ask(request abi.HTTPRequest) abi.HTTPResponse {
	document, _ := json.Marshal(request)
	http(unsafe.Pointer(unsafe.SliceData(document)), uint32(len(document)))
	var answer abi.HTTPResponse
	if err := json.Unmarshal(read(), &answer); err != nil {
		answer.Error = &abi.CallError{Code: abi.CodeProtocol, Message: err.Error()}
	}
	return answer
}

// read is the current input.
func read() []byte {
	b := make([]byte, inputLength())
	if len(b) > 0 {
		inputRead(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	}
	return b
}

func write(b []byte) { outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

func say(text string) { logLine(1, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))) }

//go:wasmimport tocsin_v1 input_length
func inputLength() uint32

//go:wasmimport tocsin_v1 input_read
func inputRead(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 output_write
func outputWrite(ptr unsafe.Pointer, n uint32)

//go:wasmimport tocsin_v1 log
func logLine(level uint32, ptr unsafe.Pointer, n uint32)

//go:wasmimport tocsin_v1 http
func http(ptr unsafe.Pointer, n uint32) uint32
