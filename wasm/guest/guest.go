// Package guest is for authors of modules in Go: fill in a [Collector], hand
// it to [Register], and build with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o name.wasm .
//
// or with tocsin module build. A module can offer an [Action] of rules and
// functions of expressions as well ([Function]), or instead.
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

	// Collect gathers one Result. It is called once in an instance. Nil: the
	// module offers no collector.
	Collect func(run *Run) Result

	Action    *Action    // a step of rules; nil: none
	Functions []Function // of expressions
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

// Unreached is the Result for an error of a call of [Run]: Error when we could
// not ask (the configuration is wrong, the grant does not allow it, a quota is
// used up, the host could not do it), otherwise Fail.
func Unreached(err error) Result {
	if ours(err) {
		return Error(err)
	}
	return Fail(err.Error(), nil)
}

// ours reports whether the target has nothing to do with an error.
func ours(err error) bool {
	if _, ok := errors.AsType[*configError](err); ok {
		return true
	}
	if why, ok := errors.AsType[*abi.CallError](err); ok {
		switch why.Code {
		case abi.CodeDenied, abi.CodeInvalid, abi.CodeQuota, abi.CodeTooLarge, abi.CodeNotFound, abi.CodeStorage:
			return true
		}
	}
	return false
}

// Value is the name of the sample that a bare number becomes, see [Of].
const Value = "value"

// Of makes a Result of what is at hand: an error as [Unreached] does, false as
// Fail, and everything else as Pass: a number with the sample [Value], text
// with that summary, [Samples] or a struct with those samples, true and nil
// with nothing. A Result is itself.
func Of(answer any, err error) Result {
	if err != nil {
		return Unreached(err)
	}
	switch v := answer.(type) {
	case nil:
		return Pass("", nil)
	case Result:
		return v
	case error:
		return Unreached(v)
	case bool:
		if !v {
			return Fail("it does not hold", nil)
		}
		return Pass("", nil)
	case string:
		return Pass(v, nil)
	case Samples:
		return Pass("", v)
	}
	document, err := json.Marshal(answer)
	if err != nil {
		return Error(fmt.Errorf("answer: %w", err))
	}
	var number json.Number
	if json.Unmarshal(document, &number) == nil {
		return Pass(number.String(), Samples{Value: number})
	}
	var samples Samples
	if err := json.Unmarshal(document, &samples); err != nil {
		return Error(fmt.Errorf("answer: %s is neither a number, text, true, false, samples nor a Result", document))
	}
	return Pass("", samples)
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

// configError is why a configuration could not be read.
type configError struct{ err error }

func (e *configError) Error() string { return "configuration: " + e.err.Error() }

func (e *configError) Unwrap() error { return e.err }

// Decode fills the struct that config points to with the configuration.
// Fields that are not configured get the value of their "default" tag.
func (r *Run) Decode(config any) error {
	if err := setDefaults(config); err != nil {
		return &configError{err}
	}
	if len(r.Request.Config) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Request.Config, config); err != nil {
		return &configError{err}
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
	m := abi.Manifest{ABI: abi.Version, Name: c.Name, Version: c.Version, Doc: c.Doc, Author: c.Author, Wants: c.Wants}
	if c.Collect != nil {
		schema, err := Schema(c.Config)
		if err != nil {
			return abi.Manifest{}, err
		}
		m.Offers, m.ConfigSchema, m.Samples = append(m.Offers, abi.OffersCollector), schema, c.Samples
	}
	if c.Action != nil {
		schema, err := Schema(c.Action.Config)
		if err != nil {
			return abi.Manifest{}, fmt.Errorf("action: %w", err)
		}
		m.Offers, m.Action = append(m.Offers, abi.OffersAction), &abi.Action{ConfigSchema: schema, Outputs: c.Action.Outputs}
	}
	for _, f := range c.Functions {
		if f.Params == nil {
			f.Params = []abi.Param{}
		}
		m.Functions = append(m.Functions, abi.Function{Name: f.Name, Doc: f.Doc, Params: f.Params, Returns: f.Returns})
	}
	if len(c.Functions) > 0 {
		m.Offers = append(m.Offers, abi.OffersFunction)
	}
	return m, nil
}

// Run answers one request to collect. A panic of Collect is logged, and a
// Result with outcome error.
func (c Collector) Run(request []byte, host Host) (result Result) {
	err := guard(host, func() error {
		run, err := newRun(request, host)
		if err != nil {
			return err
		}
		if c.Collect == nil {
			return errors.New("the module offers no collector")
		}
		result = c.Collect(run)
		return nil
	})
	if err != nil {
		return Error(err)
	}
	return result
}

func newRun(request []byte, host Host) (*Run, error) {
	run := &Run{host: host}
	if err := json.Unmarshal(request, &run.Request); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return run, nil
}

// guard makes an error of a panic, and logs it.
func guard(host Host, do func() error) (err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("panic: %v", e)
			host.Log(LevelError, err.Error())
		}
	}()
	return do()
}
