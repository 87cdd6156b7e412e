// Command chat-action is a module that adds a step to rules: it writes a message
// to a room of a chat. Only what the rule's author may choose is in its
// configuration; where the chat is, its grant says.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o chat.wasm .
//
// It shows the contract without an SDK: see package abi.
package main

func main() {}
