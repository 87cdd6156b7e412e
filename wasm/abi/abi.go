// Package abi is the contract between Tocsin and a module, version 1.
//
// There are two ways to be a module. A reactor exports
//
//	tocsin_abi_v1              anything: it marks the contract
//	tocsin_describe() -> i32   writes a [Manifest] to its output
//	tocsin_collect() -> i32    when it offers a collector: reads a [Request], writes a [Response]
//	tocsin_act() -> i32        when it offers an action: the same with an [ActResponse]
//	tocsin_fn_NAME() -> i32    for each function that it offers: reads a [Request] with Args,
//	                           writes a [CallResponse]
//	_initialize()              optional; called once, before anything else
//	memory
//
// The functions return 0. Anything else means that the module gave up; what it
// wrote is then shown as the reason. Instead of tocsin_describe a module may
// carry its manifest in the custom section [ManifestSection].
//
// A command is any program for WASI preview 1: it exports _start and memory.
// It reads one [Request] from standard input, writes the answer to standard
// output and ends with exit code 0; standard error is its log. Without the
// custom section it is asked to describe itself by a Request of kind
// [KindDescribe]. It cannot call the host.
//
// The host offers reactors the module named [HostModule]. Pointers and lengths
// are i32 and mean bytes of the memory of the guest; a range outside of it ends
// the run.
//
//	input_length() -> i32              bytes of the current input that are not read yet
//	input_read(ptr, len) -> i32        copies the next bytes, says how many; 0 at the end
//	output_write(ptr, len)             appends to the output
//	log(level, ptr, len)               one line; level 0 debug, 1 info, 2 warn, 3 error
//	now() -> i64                       nanoseconds since 1970-01-01 UTC
//	random(ptr, len)                   bytes from a generator that is seeded per run
//
// and functions that take a JSON document and answer with one. The answer
// becomes the current input; its length is returned. An answer whose error is
// set holds nothing else.
//
//	http(ptr, len) -> i32              [HTTPRequest], [HTTPResponse]
//	tcp(ptr, len) -> i32               [TCPRequest], [TCPResponse]
//	tls_info(ptr, len) -> i32          [TLSRequest], [TLSResponse]
//	dns(ptr, len) -> i32               [DNSRequest], [DNSResponse]
//	kv_get(ptr, len) -> i32            [KVRequest], [KVResponse]
//	kv_set(ptr, len) -> i32            [KVRequest], [KVResponse]
//	secret(ptr, len) -> i32            [SecretRequest], [SecretResponse]: a handle
//	reveal(ptr, len) -> i32            [SecretRequest], [SecretResponse]: the value
//
// The current input is the [Request] until the first of these calls. Documents
// are JSON in UTF-8. Receivers ignore fields that they do not know, so that
// either side may be newer within version 1.
//
// A guest may also import wasi_snapshot_preview1. It finds no files, no
// environment and no sockets there. Functions that a module offers to
// expressions are pure: calls to the host that reach outside are denied in
// them, and when a module describes itself.
package abi

import "encoding/json"

// Names of version 1.
const (
	Version         = "tocsin/1"
	HostModule      = "tocsin_v1"
	Marker          = "tocsin_abi_v1"
	Describe        = "tocsin_describe"
	Collect         = "tocsin_collect"
	Act             = "tocsin_act"
	FunctionPrefix  = "tocsin_fn_"
	Start           = "_start" // of a command
	ManifestSection = "tocsin.manifest"
)

// Values of Request.Kind.
const (
	KindDescribe = "describe" // commands only
	KindCollect  = "collect"
	KindAct      = "act"
	KindCall     = "call" // of a function
)

// Values of Manifest.Offers.
const (
	OffersCollector = "collector"
	OffersAction    = "action"
	OffersFunction  = "function"
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
	Action       *Action         `json:"action,omitempty"`    // when it offers an action
	Functions    []Function      `json:"functions,omitempty"` // when it offers functions
	Wants        Wants           `json:"wants"`
}

// Action describes the step of a rule that a module carries out.
type Action struct {
	ConfigSchema json.RawMessage `json:"config_schema,omitempty"` // of the step's configuration
	Outputs      []Sample        `json:"outputs,omitempty"`       // what later steps see
}

// Function is a pure function for expressions. The module exports it as
// tocsin_fn_NAME. Types are those of samples and list.
type Function struct {
	Name    string  `json:"name"` // lower-case letters, digits and '_'
	Doc     string  `json:"doc,omitempty"`
	Params  []Param `json:"params"`
	Returns string  `json:"returns"`
}

// Param is a parameter of a Function.
type Param struct {
	Name string `json:"name"`
	Type string `json:"type"`
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
	TCP     []string `json:"tcp,omitempty"`     // host:port for tcp and tls_info; host as in HTTP, the port may be "*"
	DNS     []string `json:"dns,omitempty"`     // names that dns may ask for; as the host in HTTP
	Private bool     `json:"private,omitempty"` // the hosts may have loopback or private addresses
	KV      string   `json:"kv,omitempty"`      // "assignment" or "module": whose values kv_get and kv_set see
	Secrets []string `json:"secrets,omitempty"` // names of secrets that it may send in requests
	Reveal  []string `json:"reveal,omitempty"`  // those of Secrets that it may read
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
	TCPCalls     int   `json:"tcp_calls,omitempty"` // connections, those of tls_info too
	TCPBytes     int64 `json:"tcp_bytes,omitempty"` // both ways
	DNSCalls     int   `json:"dns_calls,omitempty"`
	KVBytes      int64 `json:"kv_bytes,omitempty"` // kept in its scope, keys and values
}

// Request is what a module is asked.
type Request struct {
	ABI        string          `json:"abi"`
	Kind       string          `json:"kind"`
	Config     json.RawMessage `json:"config"` // an object
	Check      Check           `json:"check"`
	System     System          `json:"system"`
	DeadlineMS int64           `json:"deadline_ms"` // left when the run began
	Seed       uint64          `json:"seed"`        // below 2^53
	Now        string          `json:"now"`         // RFC 3339 with nanoseconds, when the run began

	Step     *Step  `json:"step,omitempty"`     // kind act
	Function string `json:"function,omitempty"` // kind call: its name
	Args     []any  `json:"args,omitempty"`     // kind call
}

// Step is the step of a rule that an action carries out.
type Step struct {
	Rule    string `json:"rule"`
	Firing  string `json:"firing"`
	ID      string `json:"id"`
	Key     string `json:"key"`     // idempotency key: the same in every attempt
	Attempt int    `json:"attempt"` // from 1
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

// ActResponse is the output of tocsin_act. Outcome pass: done. Fail: refused,
// trying again cannot help. Error: try again, after RetryAfterMS when it is set.
type ActResponse struct {
	Outcome      string         `json:"outcome"`
	Summary      string         `json:"summary,omitempty"`
	Output       map[string]any `json:"output,omitempty"` // as declared in Action.Outputs
	Error        string         `json:"error,omitempty"`
	RetryAfterMS int64          `json:"retry_after_ms,omitempty"`
}

// CallResponse is the output of a function: Value of the declared type, or why
// there is none.
type CallResponse struct {
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
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
	Error      *CallError        `json:"error,omitempty"`
}

// TCPRequest is the argument of the host function tcp. Op is dial, send,
// receive or close. Connections end with the run.
type TCPRequest struct {
	Op         string `json:"op"`
	Address    string `json:"address,omitempty"`     // dial: host:port
	TLS        bool   `json:"tls,omitempty"`         // dial: with TLS; the certificate is verified
	Conn       int    `json:"conn,omitempty"`        // the others: what dial answered
	Data       string `json:"data,omitempty"`        // send; exclusive with DataBase64
	DataBase64 []byte `json:"data_base64,omitempty"` // send
	Max        int    `json:"max,omitempty"`         // receive: at most so many bytes; default 64 KiB
	Until      string `json:"until,omitempty"`       // receive: end with the first of these, which is included; default: what is there
	TimeoutMS  int64  `json:"timeout_ms,omitempty"`  // default: what the run has left
}

// TCPResponse is the answer to a TCPRequest.
type TCPResponse struct {
	Conn       int        `json:"conn,omitempty"`        // dial
	Sent       int        `json:"sent,omitempty"`        // send, bytes
	Data       string     `json:"data,omitempty"`        // receive, when it is UTF-8
	DataBase64 []byte     `json:"data_base64,omitempty"` // receive
	EOF        bool       `json:"eof,omitempty"`         // receive: the other side has closed
	DurationMS float64    `json:"duration_ms"`
	Error      *CallError `json:"error,omitempty"`
}

// TLSRequest is the argument of the host function tls_info.
type TLSRequest struct {
	Host       string `json:"host"` // host or host:port; default port 443
	ServerName string `json:"server_name,omitempty"`
	TimeoutMS  int64  `json:"timeout_ms,omitempty"`
}

// TLSResponse is what a server showed in the handshake, also when its
// certificate is not valid: Verified says so, VerifyError why.
type TLSResponse struct {
	Version      string        `json:"version,omitempty"` // for example "TLS 1.3"
	CipherSuite  string        `json:"cipher_suite,omitempty"`
	ALPN         string        `json:"alpn,omitempty"`
	Verified     bool          `json:"verified"`
	VerifyError  string        `json:"verify_error,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"` // leaf first
	DurationMS   float64       `json:"duration_ms"`
	Error        *CallError    `json:"error,omitempty"`
}

// Certificate of a server.
type Certificate struct {
	Subject   string   `json:"subject"`
	Issuer    string   `json:"issuer"`
	DNSNames  []string `json:"dns_names,omitempty"`
	NotBefore string   `json:"not_before"` // RFC 3339
	NotAfter  string   `json:"not_after"`  // RFC 3339
	Serial    string   `json:"serial"`     // hex
	SHA256    string   `json:"sha256"`     // of the certificate, hex
	KeyType   string   `json:"key_type"`   // for example "ECDSA P-256"
}

// DNSRequest is the argument of the host function dns.
type DNSRequest struct {
	Name      string `json:"name"`
	Type      string `json:"type"` // A, AAAA, CNAME, MX, NS, SRV or TXT
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
}

// DNSResponse is the answer to a DNSRequest. Records are text: an address, a
// name, "10 mail.example." of MX, "1 2 443 host." of SRV, the text of TXT.
type DNSResponse struct {
	Records    []string   `json:"records,omitempty"`
	DurationMS float64    `json:"duration_ms"`
	Error      *CallError `json:"error,omitempty"`
}

// KVRequest is the argument of kv_get and kv_set. A value is text of at most
// 64 KiB; kv_set with Delete forgets it.
type KVRequest struct {
	Key    string `json:"key"` // at most 256 bytes
	Value  string `json:"value,omitempty"`
	Delete bool   `json:"delete,omitempty"`
}

// KVResponse is the answer. Values are kept between runs and restarts; a value
// that kv_set stored is seen by the next kv_get, also when the run fails later.
type KVResponse struct {
	Found bool       `json:"found"`
	Value string     `json:"value,omitempty"`
	Error *CallError `json:"error,omitempty"`
}

// SecretRequest is the argument of secret and reveal.
type SecretRequest struct {
	Name string `json:"name"`
}

// SecretResponse holds a handle: text that means nothing by itself and to
// nobody after this run. In the headers and the body of a request, and in what
// tcp sends, the host puts the value in its place. The value itself is
// in Value, and only reveal answers with it.
type SecretResponse struct {
	Handle string     `json:"handle,omitempty"`
	Value  string     `json:"value,omitempty"`
	Error  *CallError `json:"error,omitempty"`
}

// Codes of a CallError. Each function of the host uses those that can occur.
const (
	CodeInvalid   = "invalid"   // the request makes no sense
	CodeDenied    = "denied"    // not in the grant
	CodeQuota     = "quota"     // too many calls in this run
	CodeTooLarge  = "too_large" // the response is over the limit
	CodeTimeout   = "timeout"   // no answer in time
	CodeDNS       = "dns"       // the name has no address
	CodeConnect   = "connect"   // refused or unreachable
	CodeTLS       = "tls"       // the handshake failed
	CodeRedirects = "redirects" // too many
	CodeProtocol  = "protocol"  // the answer is not what the protocol allows, or broke off
	CodeNotFound  = "not_found" // there is no such secret or connection
	CodeStorage   = "storage"   // the host could not store or read it
)

// CallError says why there is no answer of a call to the host.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is the message and the code.
func (e *CallError) Error() string { return e.Message + " (" + e.Code + ")" }

// Bytes is the body, whichever way it came.
func (r *HTTPResponse) Bytes() []byte {
	if r.Body != "" {
		return []byte(r.Body)
	}
	return r.BodyBase64
}
