package script

import _ "embed"

// Name is something that a script can use.
type Name struct {
	Name    string
	Type    string // type or signature, as a person reads it
	Doc     string // one sentence
	Call    bool   // it is a function
	Members []Name
}

// Template is what a new script begins with.
//
//go:embed template.ts
var Template string

const httpOptionsType = "{ headers, query, json, body, timeout, redirect }"

// API is what the function of a script gets, and what is there besides. It
// describes prelude.js.
func API() []Name {
	call := func(name, typ, doc string) Name { return Name{Name: name, Type: typ, Doc: doc, Call: true} }
	value := func(name, typ, doc string) Name { return Name{Name: name, Type: typ, Doc: doc} }
	logs := []Name{
		call("debug", "(...values) => void", ""), call("info", "(...values) => void", ""),
		call("warn", "(...values) => void", ""), call("error", "(...values) => void", ""),
	}
	return []Name{
		value("config", "object", "The configuration of the check. Secrets in it are handles: the host puts the values into requests."),
		{Name: "check", Type: "object", Doc: "The check that runs.", Members: []Name{
			value("id", "string", ""), value("name", "string", ""), value("interval", "number", "Seconds between two runs."),
		}},
		{Name: "system", Type: "object", Doc: "The system that is asked about.", Members: []Name{
			value("id", "string", ""), value("name", "string", ""), value("tags", "Record<string, string>", ""),
		}},
		{Name: "http", Type: "object", Doc: "HTTP, as far as it is granted. Options: headers, query (values are escaped), json or body, timeout in milliseconds, redirect: false. The answer has status, ok, url, headers (names in lower case), duration in milliseconds, body, text(), json() and bytes().", Members: []Name{
			call("get", "(url, options?) => Promise<Response>", "options: "+httpOptionsType),
			call("head", "(url, options?) => Promise<Response>", ""),
			call("post", "(url, body, options?) => Promise<Response>", "An object is sent as JSON."),
			call("put", "(url, body, options?) => Promise<Response>", ""),
			call("patch", "(url, body, options?) => Promise<Response>", ""),
			call("delete", "(url, options?) => Promise<Response>", ""),
			call("request", "({ method, url, ...options }) => Promise<Response>", ""),
		}},
		{Name: "tcp", Type: "object", Doc: "Connections, as far as they are granted: send(data), receive({ until, max, timeout }), receiveBytes(), close().", Members: []Name{
			call("connect", "(address, { tls, timeout }?) => Promise<Connection>", "The address is host:port."),
		}},
		{Name: "tls", Type: "object", Doc: "What a server shows of itself in a TLS handshake.", Members: []Name{
			call("info", "(host, { serverName, timeout }?) => Promise<TLSInfo>", "version, cipherSuite, verified, verifyError and certificates: subject, issuer, dnsNames, notBefore, notAfter, daysLeft."),
		}},
		{Name: "dns", Type: "object", Doc: "Names that are looked up.", Members: []Name{
			call("lookup", "(name, type = \"A\", { timeout }?) => Promise<string[]>", "A, AAAA, CNAME, MX, NS, SRV or TXT."),
		}},
		{Name: "kv", Type: "object", Doc: "Values that are kept between runs.", Members: []Name{
			call("get", "(key) => Promise<any>", "undefined when there is none."),
			call("set", "(key, value) => Promise<void>", "Anything that JSON can hold."),
			call("delete", "(key) => Promise<void>", ""),
		}},
		call("secret", "(name) => string", "A handle: in headers, bodies and what tcp sends, the host puts the value in its place."),
		call("reveal", "(name) => string", "The value itself, when that is granted."),
		{Name: "log", Type: "object", Doc: "The log of the run; console writes there too.", Members: logs},
		call("sleep", "(ms) => Promise<void>", "Waits, within the time of the run."),
		value("now", "Date", "When the run began."),
		call("timeLeft", "() => number", "Milliseconds until the deadline of the run."),
	}
}
