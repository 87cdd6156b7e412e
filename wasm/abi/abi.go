// Package abi is the contract between Tocsin and a module, version 1.
//
// A module is a WebAssembly reactor that exports
//
//	tocsin_abi_v1              anything: it marks the contract
//	tocsin_describe() -> i32   writes a [Manifest] to its output
//	tocsin_collect() -> i32    reads a [Request], writes a [Response]
//	_initialize()              optional; called first, once per instance
//	memory
//
// The functions return 0. Anything else means that the module gave up; what it
// wrote is then shown as the reason. Instead of tocsin_describe a module may
// carry its manifest in the custom section [ManifestSection].
//
// The host offers the module named [HostModule]. Pointers and lengths are i32
// and mean bytes of the memory of the guest; a range outside of it ends the
// run.
//
//	input_length() -> i32              bytes of the current input that are not read yet
//	input_read(ptr, len) -> i32        copies the next bytes, says how many; 0 at the end
//	output_write(ptr, len)             appends to the output
//	log(level, ptr, len)               one line; level 0 debug, 1 info, 2 warn, 3 error
//	http(ptr, len) -> i32              takes a [HTTPRequest]; the [HTTPResponse] becomes the
//	                                   current input; says its length
//	now() -> i64                       nanoseconds since 1970-01-01 UTC
//	random(ptr, len)                   bytes from a generator that is seeded per run
//
// The current input is the [Request] until the first call of http. Documents
// are JSON in UTF-8. Receivers ignore fields that they do not know, so that
// either side may be newer within version 1.
//
// A guest may also import wasi_snapshot_preview1. It finds no files, no
// environment and no sockets there; what it writes to standard output and
// standard error is its log.
package abi

import "encoding/json"

// Names of version 1.
const (
	Version         = "tocsin/1"
	HostModule      = "tocsin_v1"
	Marker          = "tocsin_abi_v1"
	Describe        = "tocsin_describe"
	Collect         = "tocsin_collect"
	ManifestSection = "tocsin.manifest"
	KindCollect     = "collect"   // Request.Kind
	OffersCollector = "collector" // in Manifest.Offers
)

// Manifest is what a module says of itself.
type Manifest struct {
	ABI          string          `json:"abi"`
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Doc          string          `json:"doc,omitempty"`
	Author       string          `json:"author,omitempty"`
	Offers       []string        `json:"offers"`
	ConfigSchema json.RawMessage `json:"config_schema,omitempty"`
	Samples      []Sample        `json:"samples,omitempty"`
	Wants        Wants           `json:"wants"`
}

// Sample declares a value that the module reports. Type is number, integer,
// string, bool, duration, time, map or any.
type Sample struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Kind string `json:"kind,omitempty"`
	Unit string `json:"unit,omitempty"`
	Doc  string `json:"doc,omitempty"`
}

// Wants is what the module asks to reach. A person decides what of it is
// granted.
type Wants struct {
	// HTTP lists scheme://host:port. The host may begin with "*." or be "*",
	// the port may be "*"; without a port it is that of the scheme.
	HTTP    []string `json:"http,omitempty"`
	Private bool     `json:"private,omitempty"` // the hosts may have loopback or private addresses
	Limits  Limits   `json:"limits"`
}

// Limits of one run. Zero is the default of the host.
type Limits struct {
	Memory       int64 `json:"memory_bytes,omitempty"`
	Fuel         int64 `json:"fuel,omitempty"` // instructions
	Output       int64 `json:"output_bytes,omitempty"`
	Logs         int64 `json:"log_bytes,omitempty"`
	HTTPCalls    int   `json:"http_calls,omitempty"`
	HTTPResponse int64 `json:"http_response_bytes,omitempty"`
}

// Request is the input of tocsin_collect.
type Request struct {
	ABI        string          `json:"abi"`
	Kind       string          `json:"kind"`
	Config     json.RawMessage `json:"config"` // an object
	Check      Check           `json:"check"`
	System     System          `json:"system"`
	DeadlineMS int64           `json:"deadline_ms"` // left when the run began
	Seed       uint64          `json:"seed"`        // below 2^53
	Now        string          `json:"now"`         // RFC 3339 with nanoseconds, when the run began
}

// Check names the check that is run.
type Check struct {
	ID              string  `json:"id"`
	Name            string  `json:"name"`
	IntervalSeconds float64 `json:"interval_seconds"`
}

// System names the system that is asked about.
type System struct {
	ID   string            `json:"id"`
	Name string            `json:"name"`
	Tags map[string]string `json:"tags"`
}

// Outcomes of a Response.
const (
	Pass  = "pass"  // answered, and everything holds
	Warn  = "warn"  // answered, and only a warning does not hold
	Fail  = "fail"  // answered wrongly, or not reached
	Error = "error" // could not ask: configuration, grant or a fault of the module
)

// Response is the output of tocsin_collect. Every sample must be declared in
// the manifest and have the declared type: a duration is a number of seconds
// or text such as "250ms", a time is RFC 3339 text; null means that there is
// no value.
type Response struct {
	Outcome string         `json:"outcome"`
	Summary string         `json:"summary,omitempty"` // one line for people
	Samples map[string]any `json:"samples,omitempty"`
	Detail  any            `json:"detail,omitempty"` // assertions see it, it is not stored
	Error   string         `json:"error,omitempty"`  // the reason when the outcome is not pass
}

// HTTPRequest is the argument of the host function http. Exactly one of Body
// and BodyBase64 may be set.
type HTTPRequest struct {
	Method     string            `json:"method,omitempty"` // default GET
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 []byte            `json:"body_base64,omitempty"`
	TimeoutMS  int64             `json:"timeout_ms,omitempty"` // default: what the run has left
	NoRedirect bool              `json:"no_redirect,omitempty"`
}

// HTTPResponse is the answer to a HTTPRequest. When Error is set there was no
// usable answer and the other fields but URL and DurationMS are empty.
type HTTPResponse struct {
	Status     int               `json:"status,omitempty"`
	URL        string            `json:"url,omitempty"`     // after redirects
	Headers    map[string]string `json:"headers,omitempty"` // names in lower case; several values are joined by ", "
	Body       string            `json:"body,omitempty"`    // when it is UTF-8
	BodyBase64 []byte            `json:"body_base64,omitempty"`
	DurationMS float64           `json:"duration_ms"`
	Error      *HTTPError        `json:"error,omitempty"`
}

// Codes of a HTTPError.
const (
	HTTPInvalid   = "invalid"   // the request makes no sense
	HTTPDenied    = "denied"    // not in the grant
	HTTPQuota     = "quota"     // too many calls in this run
	HTTPTooLarge  = "too_large" // the response is over the limit
	HTTPTimeout   = "timeout"   // no answer in time
	HTTPDNS       = "dns"       // the name has no address
	HTTPConnect   = "connect"   // refused or unreachable
	HTTPTLS       = "tls"       // the handshake failed
	HTTPRedirects = "redirects" // too many
	HTTPProtocol  = "protocol"  // the answer is not HTTP or broke off
)

// HTTPError says why there is no answer.
type HTTPError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is the message and the code.
func (e *HTTPError) Error() string { return e.Message + " (" + e.Code + ")" }

// Bytes is the body, whichever way it came.
func (r *HTTPResponse) Bytes() []byte {
	if r.Body != "" {
		return []byte(r.Body)
	}
	return r.BodyBase64
}
