// Package guest is for authors of modules in Go: fill in a [Collector], hand
// it to [Register], and build with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o name.wasm .
//
// Everything but the calls to the host works natively as well, so that a
// collector can be tested with go test and a [Host] of the test's own.
package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Collector is what a module offers.
type Collector struct {
	Name    string // identity: letters, digits, '.', '_' and '-'
	Version string
	Doc     string // one paragraph for people
	Author  string

	// Config is a value of the struct that [Run.Decode] fills; the JSON schema
	// is made of it, see [Schema]. Nil accepts any object.
	Config  any
	Samples []abi.Sample // everything that Collect reports in Result.Samples
	Wants   abi.Wants    // what it asks to reach

	// Collect gathers one Result. It is called once in an instance.
	Collect func(run *Run) Result
}

// Result is what Collect answers, see [Pass], [Warn], [Fail] and [Error].
type Result = abi.Response

// Samples are named values.
type Samples = map[string]any

// Pass is the Result when everything holds.
func Pass(summary string, samples Samples) Result {
	return Result{Outcome: abi.Pass, Summary: summary, Samples: samples}
}

// Warn is the Result when only a warning does not hold.
func Warn(summary string, samples Samples) Result {
	return Result{Outcome: abi.Warn, Summary: summary, Error: summary, Samples: samples}
}

// Fail is the Result when the target answered wrongly or was not reached.
func Fail(summary string, samples Samples) Result {
	return Result{Outcome: abi.Fail, Summary: summary, Error: summary, Samples: samples}
}

// Error is the Result when the module could not ask: its configuration or its
// grant is wrong. It never moves health.
func Error(err error) Result {
	return Result{Outcome: abi.Error, Error: err.Error()}
}

// Unreached is the Result for an error of [Run.HTTP]: Error when we were not
// allowed to ask, otherwise Fail.
func Unreached(err error) Result {
	if why, ok := errors.AsType[*abi.CallError](err); ok {
		switch why.Code {
		case abi.CodeDenied, abi.CodeInvalid, abi.CodeQuota, abi.CodeTooLarge:
			return Error(err)
		}
	}
	return Fail(err.Error(), nil)
}

// Host is what a module can call.
type Host interface {
	// Call is a function that takes a document of package abi and answers with
	// one, by its name there: "http", "tcp", "dns".
	Call(name string, request []byte) (response []byte)
	Log(level Level, text string)
	Now() time.Time
	Random(b []byte) // fills b
}

// Level of a line of the log.
type Level uint32

// The values of Level.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// Run is one call of Collect: what it is asked, and the host.
type Run struct {
	Request abi.Request
	host    Host
}

// Decode fills the struct that config points to with the configuration.
// Fields that are not configured get the value of their "default" tag.
func (r *Run) Decode(config any) error {
	if err := setDefaults(config); err != nil {
		return err
	}
	if len(r.Request.Config) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Request.Config, config); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// HTTP sends a request through the host. The error is a [*abi.CallError] when
// the host gave one.
func (r *Run) HTTP(request abi.HTTPRequest) (*abi.HTTPResponse, error) {
	response, err := call[abi.HTTPResponse](r, "http", request)
	return answer(response, err, func() *abi.CallError { return response.Error })
}

// TCP carries out one operation on a connection, as [abi.TCPRequest] says.
func (r *Run) TCP(request abi.TCPRequest) (*abi.TCPResponse, error) {
	response, err := call[abi.TCPResponse](r, "tcp", request)
	return answer(response, err, func() *abi.CallError { return response.Error })
}

// TLSInfo asks a server for its certificate and what it speaks.
func (r *Run) TLSInfo(request abi.TLSRequest) (*abi.TLSResponse, error) {
	response, err := call[abi.TLSResponse](r, "tls_info", request)
	return answer(response, err, func() *abi.CallError { return response.Error })
}

// DNS looks up the records of a type under a name.
func (r *Run) DNS(name, kind string) ([]string, error) {
	response, err := call[abi.DNSResponse](r, "dns", abi.DNSRequest{Name: name, Type: kind})
	response, err = answer(response, err, func() *abi.CallError { return response.Error })
	if err != nil {
		return nil, err
	}
	return response.Records, nil
}

// KVGet is the value that was kept under a key.
func (r *Run) KVGet(key string) (value string, found bool, err error) {
	response, err := call[abi.KVResponse](r, "kv_get", abi.KVRequest{Key: key})
	response, err = answer(response, err, func() *abi.CallError { return response.Error })
	if err != nil {
		return "", false, err
	}
	return response.Value, response.Found, nil
}

// KVSet keeps a value under a key, for later runs.
func (r *Run) KVSet(key, value string) error {
	response, err := call[abi.KVResponse](r, "kv_set", abi.KVRequest{Key: key, Value: value})
	_, err = answer(response, err, func() *abi.CallError { return response.Error })
	return err
}

// KVDelete forgets the value under a key.
func (r *Run) KVDelete(key string) error {
	response, err := call[abi.KVResponse](r, "kv_set", abi.KVRequest{Key: key, Delete: true})
	_, err = answer(response, err, func() *abi.CallError { return response.Error })
	return err
}

// Secret is a handle of a secret: the host puts the value in its place in the
// headers and the body of a request, and in what TCP sends.
func (r *Run) Secret(name string) (handle string, err error) {
	response, err := call[abi.SecretResponse](r, "secret", abi.SecretRequest{Name: name})
	response, err = answer(response, err, func() *abi.CallError { return response.Error })
	if err != nil {
		return "", err
	}
	return response.Handle, nil
}

// Reveal is the value of a secret, which needs a grant of its own.
func (r *Run) Reveal(name string) (value string, err error) {
	response, err := call[abi.SecretResponse](r, "reveal", abi.SecretRequest{Name: name})
	response, err = answer(response, err, func() *abi.CallError { return response.Error })
	if err != nil {
		return "", err
	}
	return response.Value, nil
}

// Call asks a function of the host by its name in package abi and returns its
// answer as it is, an error in it included.
func (r *Run) Call(name string, request json.RawMessage) json.RawMessage {
	return r.host.Call(name, request)
}

// call asks the host.
func call[A any](r *Run, name string, request any) (*A, error) {
	document, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	response := new(A)
	if err := json.Unmarshal(r.host.Call(name, document), response); err != nil {
		return nil, fmt.Errorf("%s: response of the host: %w", name, err)
	}
	return response, nil
}

// answer is a response, or the error that it tells of.
func answer[A any](response *A, err error, why func() *abi.CallError) (*A, error) {
	if err != nil {
		return nil, err
	}
	if why := why(); why != nil {
		return nil, why
	}
	return response, nil
}

// FetchJSON fetches a URL and decodes its JSON. A status other than 2xx is an error.
func (r *Run) FetchJSON(url string, into any) error {
	response, err := r.HTTP(abi.HTTPRequest{URL: url, Headers: map[string]string{"Accept": "application/json"}})
	if err != nil {
		return err
	}
	if response.Status < 200 || response.Status > 299 {
		return fmt.Errorf("%s answered %d", url, response.Status)
	}
	if err := json.Unmarshal(response.Bytes(), into); err != nil {
		return fmt.Errorf("%s answered something else than the JSON expected: %w", url, err)
	}
	return nil
}

// Log writes one line to the log of the run.
func (r *Run) Log(level Level, text string) { r.host.Log(level, text) }

// Now is the clock of the run.
func (r *Run) Now() time.Time { return r.host.Now() }

// Random fills b from the generator of the run.
func (r *Run) Random(b []byte) { r.host.Random(b) }

// Manifest is what the module says of itself.
func (c Collector) Manifest() (abi.Manifest, error) {
	schema, err := Schema(c.Config)
	if err != nil {
		return abi.Manifest{}, err
	}
	return abi.Manifest{
		ABI: abi.Version, Name: c.Name, Version: c.Version, Doc: c.Doc, Author: c.Author, Offers: []string{abi.OffersCollector},
		ConfigSchema: schema, Samples: c.Samples, Wants: c.Wants,
	}, nil
}

// Run answers one request. A panic of Collect is a Result with outcome error.
func (c Collector) Run(request []byte, host Host) (result Result) {
	defer func() {
		if e := recover(); e != nil {
			result = Error(fmt.Errorf("panic: %v", e))
		}
	}()
	run := &Run{host: host}
	if err := json.Unmarshal(request, &run.Request); err != nil {
		return Error(fmt.Errorf("request: %w", err))
	}
	return c.Collect(run)
}
