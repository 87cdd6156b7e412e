/* tocsin.h - write collectors and actions for Tocsin in C.
 *
 *	#include "tocsin.h"
 *
 *	TOCSIN_MANIFEST({
 *		"abi": "tocsin/1", "name": "jobs", "version": "1.0.0", "offers": ["collector"],
 *		"config_schema": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
 *		"samples": [{"name": "jobs", "type": "integer"}],
 *		"wants": {"http": ["https://jobs.example:443"]}
 *	})
 *
 *	TOCSIN_COLLECT(run)
 *	{
 *		tocsin_error err;
 *		const tocsin_json *page = tocsin_fetch_json(tocsin_config_text(run, "url", ""), &err);
 *		if (!page)
 *			return tocsin_unreached(&err);
 *		double jobs = tocsin_num(tocsin_get(page, "jobs"), -1);
 *		if (jobs < 0)
 *			return tocsin_fail("the page names no jobs");
 *		tocsin_answer *a = jobs > 100 ? tocsin_fail("too many jobs wait") : tocsin_pass("%g jobs wait", jobs);
 *		return tocsin_sample_num(a, "jobs", jobs);
 *	}
 *
 * Build with `tocsin module build`, or with
 *
 *	clang --target=wasm32-wasi -mexec-model=reactor -O2 -o jobs.wasm jobs.c
 *
 * One file of a module includes this header. Everything that it hands out
 * lives until the run ends; nothing is to be freed. A NULL stands for a value
 * that is not there: every function that reads takes it.
 *
 * In a native program the host is missing: define the tocsin_host_ functions
 * yourself to test a collector, as tocsin_test.c does.
 *
 * Copyright the Tocsin authors. Licensed under the Apache License 2.0.
 */
#ifndef TOCSIN_H
#define TOCSIN_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOCSIN_FN static __attribute__((unused))
#define TOCSIN_FORMAT(n) __attribute__((format(printf, n, n + 1)))

/* ---- the host ---------------------------------------------------------- */

#ifdef __wasm__
#define TOCSIN_IMPORT(name) __attribute__((import_module("tocsin_v1"), import_name(#name)))
#define TOCSIN_EXPORT(name) __attribute__((export_name(#name)))
TOCSIN_IMPORT(input_length) uint32_t tocsin_host_input_length(void);
TOCSIN_IMPORT(input_read) uint32_t tocsin_host_input_read(void *to, uint32_t n);
TOCSIN_IMPORT(output_write) void tocsin_host_output_write(const void *from, uint32_t n);
TOCSIN_IMPORT(log) void tocsin_host_log(uint32_t level, const char *text, uint32_t n);
TOCSIN_IMPORT(now) int64_t tocsin_host_now(void);
TOCSIN_IMPORT(random) void tocsin_host_random(void *to, uint32_t n);
TOCSIN_IMPORT(http) uint32_t tocsin_host_http(const char *text, uint32_t n);
TOCSIN_IMPORT(tcp) uint32_t tocsin_host_tcp(const char *text, uint32_t n);
TOCSIN_IMPORT(tls_info) uint32_t tocsin_host_tls_info(const char *text, uint32_t n);
TOCSIN_IMPORT(dns) uint32_t tocsin_host_dns(const char *text, uint32_t n);
TOCSIN_IMPORT(kv_get) uint32_t tocsin_host_kv_get(const char *text, uint32_t n);
TOCSIN_IMPORT(kv_set) uint32_t tocsin_host_kv_set(const char *text, uint32_t n);
TOCSIN_IMPORT(secret) uint32_t tocsin_host_secret(const char *text, uint32_t n);
TOCSIN_IMPORT(reveal) uint32_t tocsin_host_reveal(const char *text, uint32_t n);
#else
#define TOCSIN_EXPORT(name)
uint32_t tocsin_host_input_length(void);
uint32_t tocsin_host_input_read(void *to, uint32_t n);
void tocsin_host_output_write(const void *from, uint32_t n);
void tocsin_host_log(uint32_t level, const char *text, uint32_t n);
int64_t tocsin_host_now(void);
void tocsin_host_random(void *to, uint32_t n);
void tocsin_host_call(const char *name, const char *text, uint32_t n);
#endif

enum { TOCSIN_DEBUG, TOCSIN_INFO, TOCSIN_WARN, TOCSIN_ERROR };

/* tocsin_log writes one line to the log of the run. */
TOCSIN_FN TOCSIN_FORMAT(2) void tocsin_log(int level, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof line)
		n = sizeof line - 1;
	tocsin_host_log((uint32_t)level, line, (uint32_t)n);
}

/* tocsin_panic ends the run with an error that says why. */
TOCSIN_FN _Noreturn void tocsin_panic(const char *why)
{
	tocsin_log(TOCSIN_ERROR, "panic: %s", why);
	abort();
}

/* ---- memory: it lives until the run ends ------------------------------- */

struct tocsin_block {
	struct tocsin_block *next;
};

static struct tocsin_block *tocsin_blocks;

TOCSIN_FN void *tocsin_alloc(size_t n)
{
	struct tocsin_block *b = calloc(1, sizeof *b + n);
	if (!b)
		tocsin_panic("out of memory: raise wants.limits.memory_bytes");
	b->next = tocsin_blocks;
	tocsin_blocks = b;
	return b + 1;
}

/* tocsin_free_all ends the life of everything handed out. The exports call it. */
TOCSIN_FN void tocsin_free_all(void)
{
	while (tocsin_blocks) {
		struct tocsin_block *next = tocsin_blocks->next;
		free(tocsin_blocks);
		tocsin_blocks = next;
	}
}

TOCSIN_FN char *tocsin_copy(const char *text, size_t n)
{
	char *out = tocsin_alloc(n + 1);
	memcpy(out, text, n);
	return out;
}

TOCSIN_FN char *tocsin_vformat(const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		return tocsin_copy("", 0);
	char *out = tocsin_alloc((size_t)n + 1);
	vsnprintf(out, (size_t)n + 1, format, args);
	return out;
}

/* tocsin_format is sprintf into new memory. */
TOCSIN_FN TOCSIN_FORMAT(1) char *tocsin_format(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *out = tocsin_vformat(format, args);
	va_end(args);
	return out;
}

/* ---- JSON -------------------------------------------------------------- */

typedef enum { TOCSIN_NULL, TOCSIN_BOOL, TOCSIN_NUM, TOCSIN_TEXT, TOCSIN_LIST, TOCSIN_OBJECT } tocsin_kind;

/* tocsin_json is a JSON value. Numbers are doubles: integers are exact up to
 * 2^53. */
typedef struct tocsin_json {
	tocsin_kind kind;
	double num; /* TOCSIN_NUM; TOCSIN_BOOL: 1 or 0 */
	const char *text; /* TOCSIN_TEXT, ends with a zero */
	size_t length; /* bytes of the text; items of the list or object */
	struct tocsin_json *first, *last; /* TOCSIN_LIST, TOCSIN_OBJECT */
	struct tocsin_json *next; /* in its list or object */
	const char *key; /* in its object */
} tocsin_json;

TOCSIN_FN tocsin_json *tocsin_new(tocsin_kind kind)
{
	tocsin_json *v = tocsin_alloc(sizeof *v);
	v->kind = kind;
	return v;
}

TOCSIN_FN tocsin_json *tocsin_object(void) { return tocsin_new(TOCSIN_OBJECT); }
TOCSIN_FN tocsin_json *tocsin_list(void) { return tocsin_new(TOCSIN_LIST); }

TOCSIN_FN tocsin_json *tocsin_from_bool(bool b)
{
	tocsin_json *v = tocsin_new(TOCSIN_BOOL);
	v->num = b;
	return v;
}

TOCSIN_FN tocsin_json *tocsin_from_num(double n)
{
	tocsin_json *v = tocsin_new(TOCSIN_NUM);
	v->num = n;
	return v;
}

TOCSIN_FN tocsin_json *tocsin_from_bytes(const char *text, size_t n)
{
	tocsin_json *v = tocsin_new(TOCSIN_TEXT);
	v->text = tocsin_copy(text, n);
	v->length = n;
	return v;
}

TOCSIN_FN tocsin_json *tocsin_from_text(const char *text) { return tocsin_from_bytes(text, strlen(text)); }

/* tocsin_add appends to a list and returns it. */
TOCSIN_FN tocsin_json *tocsin_add(tocsin_json *list, tocsin_json *item)
{
	if (list->last)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
	list->length++;
	return list;
}

/* tocsin_set adds a field to an object and returns it. A name is used once. */
TOCSIN_FN tocsin_json *tocsin_set(tocsin_json *object, const char *key, tocsin_json *value)
{
	value->key = tocsin_copy(key, strlen(key));
	return tocsin_add(object, value);
}

/* tocsin_get is a field of an object. */
TOCSIN_FN const tocsin_json *tocsin_get(const tocsin_json *object, const char *key)
{
	const tocsin_json *found = NULL;
	if (object && object->kind == TOCSIN_OBJECT)
		for (const tocsin_json *v = object->first; v; v = v->next)
			if (!strcmp(v->key, key))
				found = v;
	return found;
}

/* tocsin_at is an item of a list. */
TOCSIN_FN const tocsin_json *tocsin_at(const tocsin_json *list, size_t i)
{
	if (!list || list->kind != TOCSIN_LIST)
		return NULL;
	const tocsin_json *v = list->first;
	while (v && i--)
		v = v->next;
	return v;
}

/* tocsin_len counts the items of a list or object. */
TOCSIN_FN size_t tocsin_len(const tocsin_json *v) { return v && v->kind >= TOCSIN_LIST ? v->length : 0; }

/* The value of v, or what to use when it is something else. */
TOCSIN_FN double tocsin_num(const tocsin_json *v, double otherwise) { return v && v->kind == TOCSIN_NUM ? v->num : otherwise; }
TOCSIN_FN bool tocsin_bool(const tocsin_json *v, bool otherwise) { return v && v->kind == TOCSIN_BOOL ? v->num != 0 : otherwise; }
TOCSIN_FN const char *tocsin_text(const tocsin_json *v, const char *otherwise) { return v && v->kind == TOCSIN_TEXT ? v->text : otherwise; }

typedef struct {
	const char *text;
	size_t length, at;
	int depth;
	const char *wrong;
} tocsin_reader;

TOCSIN_FN tocsin_json *tocsin_read_value(tocsin_reader *r);

TOCSIN_FN int tocsin_peek(const tocsin_reader *r) { return r->at < r->length ? (unsigned char)r->text[r->at] : -1; }

TOCSIN_FN void *tocsin_refuse(tocsin_reader *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
	return NULL;
}

TOCSIN_FN void tocsin_space(tocsin_reader *r)
{
	int c;
	while ((c = tocsin_peek(r)) == ' ' || c == '\n' || c == '\r' || c == '\t')
		r->at++;
}

TOCSIN_FN int tocsin_hex(tocsin_reader *r)
{
	int n = 0;
	for (int i = 0; i < 4; i++) {
		int c = tocsin_peek(r);
		if (c >= '0' && c <= '9')
			n = n * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			n = n * 16 + c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			n = n * 16 + c - 'A' + 10;
		else {
			tocsin_refuse(r, "four hexadecimal digits are expected");
			return -1;
		}
		r->at++;
	}
	return n;
}

TOCSIN_FN size_t tocsin_put_rune(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

TOCSIN_FN tocsin_json *tocsin_read_text(tocsin_reader *r)
{
	size_t end = ++r->at;
	while (end < r->length && r->text[end] != '"')
		end += r->text[end] == '\\' ? 2 : 1;
	if (end >= r->length)
		return tocsin_refuse(r, "the text does not end");
	char *out = tocsin_alloc(end - r->at + 1); /* an escape is never shorter than what it means */
	size_t n = 0;
	while (r->at < end) {
		int c = tocsin_peek(r);
		r->at++;
		if (c < 0x20)
			return tocsin_refuse(r, "a control character in a text must be escaped");
		if (c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		c = tocsin_peek(r);
		r->at++;
		switch (c) {
		case '"': case '\\': case '/': out[n++] = (char)c; break;
		case 'b': out[n++] = '\b'; break;
		case 'f': out[n++] = '\f'; break;
		case 'n': out[n++] = '\n'; break;
		case 'r': out[n++] = '\r'; break;
		case 't': out[n++] = '\t'; break;
		case 'u': {
			int high = tocsin_hex(r);
			if (high < 0)
				return NULL;
			unsigned rune = (unsigned)high;
			if (high >= 0xd800 && high < 0xe000) {
				rune = 0xfffd; /* half of a pair */
				if (high < 0xdc00 && r->at + 1 < end && r->text[r->at] == '\\' && r->text[r->at + 1] == 'u') {
					size_t back = r->at;
					r->at += 2;
					int low = tocsin_hex(r);
					if (low < 0)
						return NULL;
					if (low >= 0xdc00 && low < 0xe000)
						rune = 0x10000 + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00);
					else
						r->at = back;
				}
			}
			n += tocsin_put_rune(out + n, rune);
			break;
		}
		default:
			return tocsin_refuse(r, "there is no such escape");
		}
	}
	if (r->at != end)
		return tocsin_refuse(r, "there is no such escape");
	r->at++;
	tocsin_json *v = tocsin_new(TOCSIN_TEXT);
	v->text = out;
	v->length = n;
	return v;
}

TOCSIN_FN int tocsin_digits(tocsin_reader *r)
{
	int n = 0;
	while (tocsin_peek(r) >= '0' && tocsin_peek(r) <= '9') {
		r->at++;
		n++;
	}
	return n;
}

TOCSIN_FN tocsin_json *tocsin_read_number(tocsin_reader *r)
{
	size_t from = r->at;
	if (tocsin_peek(r) == '-')
		r->at++;
	bool zero = tocsin_peek(r) == '0';
	int n = tocsin_digits(r);
	if (n == 0 || (zero && n > 1))
		return tocsin_refuse(r, "this is not a number");
	if (tocsin_peek(r) == '.') {
		r->at++;
		if (!tocsin_digits(r))
			return tocsin_refuse(r, "digits are expected after the point");
	}
	if (tocsin_peek(r) == 'e' || tocsin_peek(r) == 'E') {
		r->at++;
		if (tocsin_peek(r) == '+' || tocsin_peek(r) == '-')
			r->at++;
		if (!tocsin_digits(r))
			return tocsin_refuse(r, "digits are expected in the exponent");
	}
	double value = strtod(tocsin_copy(r->text + from, r->at - from), NULL);
	if (!isfinite(value))
		return tocsin_refuse(r, "the number is too large");
	return tocsin_from_num(value);
}

TOCSIN_FN tocsin_json *tocsin_read_items(tocsin_reader *r, bool object)
{
	tocsin_json *out = tocsin_new(object ? TOCSIN_OBJECT : TOCSIN_LIST);
	int close = object ? '}' : ']';
	r->at++;
	if (++r->depth > 128)
		return tocsin_refuse(r, "it nests too deep");
	tocsin_space(r);
	if (tocsin_peek(r) == close) {
		r->at++;
		r->depth--;
		return out;
	}
	for (;;) {
		const char *key = NULL;
		tocsin_space(r);
		if (object) {
			if (tocsin_peek(r) != '"')
				return tocsin_refuse(r, "the name of a field is expected");
			tocsin_json *name = tocsin_read_text(r);
			if (!name)
				return NULL;
			key = name->text;
			tocsin_space(r);
			if (tocsin_peek(r) != ':')
				return tocsin_refuse(r, "a colon is expected");
			r->at++;
		}
		tocsin_json *item = tocsin_read_value(r);
		if (!item)
			return NULL;
		item->key = key;
		tocsin_add(out, item);
		tocsin_space(r);
		int c = tocsin_peek(r);
		if (c != close && c != ',')
			return tocsin_refuse(r, "a comma or the end of the list or object is expected");
		r->at++;
		if (c == close) {
			r->depth--;
			return out;
		}
	}
}

TOCSIN_FN tocsin_json *tocsin_read_value(tocsin_reader *r)
{
	tocsin_space(r);
	int c = tocsin_peek(r);
	if (c == '{' || c == '[')
		return tocsin_read_items(r, c == '{');
	if (c == '"')
		return tocsin_read_text(r);
	if (c == '-' || (c >= '0' && c <= '9'))
		return tocsin_read_number(r);
	static const char *const words[] = { "null", "true", "false" };
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if (r->length - r->at >= n && !memcmp(r->text + r->at, words[i], n)) {
			r->at += n;
			return i == 0 ? tocsin_new(TOCSIN_NULL) : tocsin_from_bool(i == 1);
		}
	}
	return tocsin_refuse(r, c < 0 ? "the document ends where a value is expected" : "a value is expected");
}

/* tocsin_parse reads a document. NULL: *wrong says what is wrong and where. */
TOCSIN_FN tocsin_json *tocsin_parse(const char *text, size_t n, const char **wrong)
{
	tocsin_reader r = { .text = text, .length = n };
	tocsin_json *v = tocsin_read_value(&r);
	if (v) {
		tocsin_space(&r);
		if (r.at < r.length)
			v = tocsin_refuse(&r, "the document goes on after its end");
	}
	if (!v && wrong)
		*wrong = tocsin_format("JSON, byte %zu: %s", r.at + 1, r.wrong ? r.wrong : "a value is expected");
	return v;
}

typedef struct {
	char *text;
	size_t length, room;
} tocsin_buffer;

TOCSIN_FN void tocsin_put(tocsin_buffer *b, const char *text, size_t n)
{
	if (b->length + n + 1 > b->room) {
		size_t room = (b->length + n + 1) * 2 + 64;
		char *larger = tocsin_alloc(room);
		if (b->length)
			memcpy(larger, b->text, b->length);
		b->text = larger;
		b->room = room;
	}
	memcpy(b->text + b->length, text, n);
	b->length += n;
	b->text[b->length] = 0;
}

TOCSIN_FN void tocsin_put_text(tocsin_buffer *b, const char *text, size_t n)
{
	tocsin_put(b, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		char escape[8];
		if (c == '"' || c == '\\')
			tocsin_put(b, escape, (size_t)snprintf(escape, sizeof escape, "\\%c", c));
		else if (c < 0x20)
			tocsin_put(b, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
		else
			tocsin_put(b, text + i, 1);
	}
	tocsin_put(b, "\"", 1);
}

TOCSIN_FN void tocsin_put_value(tocsin_buffer *b, const tocsin_json *v)
{
	char number[32];
	switch (v ? v->kind : TOCSIN_NULL) {
	case TOCSIN_NULL:
		tocsin_put(b, "null", 4);
		return;
	case TOCSIN_BOOL:
		tocsin_put(b, v->num ? "true" : "false", v->num ? 4 : 5);
		return;
	case TOCSIN_NUM:
		if (!isfinite(v->num)) { /* JSON cannot hold it */
			tocsin_put(b, "null", 4);
			return;
		}
		for (int digits = 15; digits <= 17; digits++) { /* the shortest that is the same number */
			snprintf(number, sizeof number, "%.*g", digits, v->num);
			if (strtod(number, NULL) == v->num)
				break;
		}
		tocsin_put(b, number, strlen(number));
		return;
	case TOCSIN_TEXT:
		tocsin_put_text(b, v->text, v->length);
		return;
	case TOCSIN_LIST:
	case TOCSIN_OBJECT:
		tocsin_put(b, v->kind == TOCSIN_LIST ? "[" : "{", 1);
		for (const tocsin_json *item = v->first; item; item = item->next) {
			if (item != v->first)
				tocsin_put(b, ",", 1);
			if (v->kind == TOCSIN_OBJECT) {
				tocsin_put_text(b, item->key, strlen(item->key));
				tocsin_put(b, ":", 1);
			}
			tocsin_put_value(b, item);
		}
		tocsin_put(b, v->kind == TOCSIN_LIST ? "]" : "}", 1);
	}
}

/* tocsin_write is v as JSON. */
TOCSIN_FN char *tocsin_write(const tocsin_json *v)
{
	tocsin_buffer b = { 0 };
	tocsin_put_value(&b, v);
	return b.text;
}

/* ---- calls to the host ------------------------------------------------- */

/* tocsin_error says why there is no answer. The codes of the host are denied,
 * invalid, quota, too_large, timeout, dns, connect, tls, redirects, protocol,
 * not_found and storage; an empty code is an error of the target's answer. */
typedef struct {
	const char *code, *message;
} tocsin_error;

/* tocsin_is_ours reports whether the target has nothing to do with it. */
TOCSIN_FN bool tocsin_is_ours(const tocsin_error *e)
{
	static const char *const ours[] = { "denied", "invalid", "quota", "too_large", "not_found", "storage" };
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (!strcmp(e->code, ours[i]))
			return true;
	return false;
}

TOCSIN_FN char *tocsin_input(size_t *length)
{
	uint32_t n = tocsin_host_input_length(), at = 0;
	char *text = tocsin_alloc(n + 1);
	while (at < n) {
		uint32_t got = tocsin_host_input_read(text + at, n - at);
		if (!got)
			break;
		at += got;
	}
	*length = at;
	return text;
}

#ifdef __wasm__
TOCSIN_FN void tocsin_host_call(const char *name, const char *text, uint32_t n)
{
	if (!strcmp(name, "http")) tocsin_host_http(text, n);
	else if (!strcmp(name, "tcp")) tocsin_host_tcp(text, n);
	else if (!strcmp(name, "tls_info")) tocsin_host_tls_info(text, n);
	else if (!strcmp(name, "dns")) tocsin_host_dns(text, n);
	else if (!strcmp(name, "kv_get")) tocsin_host_kv_get(text, n);
	else if (!strcmp(name, "kv_set")) tocsin_host_kv_set(text, n);
	else if (!strcmp(name, "secret")) tocsin_host_secret(text, n);
	else if (!strcmp(name, "reveal")) tocsin_host_reveal(text, n);
	else tocsin_panic(tocsin_format("the host has no function %s", name));
}
#endif

/* tocsin_call is the host's answer to a document that wasm/abi of Tocsin
 * describes. NULL: *err says why. err may be NULL. */
TOCSIN_FN const tocsin_json *tocsin_call(const char *name, const tocsin_json *request, tocsin_error *err)
{
	const char *text = tocsin_write(request), *wrong = "";
	size_t n;
	tocsin_host_call(name, text, (uint32_t)strlen(text));
	const char *input = tocsin_input(&n);
	const tocsin_json *answer = tocsin_parse(input, n, &wrong);
	const tocsin_json *why = tocsin_get(answer, "error");
	if (answer && !(why && why->kind == TOCSIN_OBJECT))
		return answer;
	if (err) {
		err->code = answer ? tocsin_text(tocsin_get(why, "code"), "") : "invalid";
		err->message = answer ? tocsin_text(tocsin_get(why, "message"), "") : tocsin_format("%s: answer of the host: %s", name, wrong);
	}
	return NULL;
}

/* tocsin_http sends {method, url, headers, body, timeout_ms, no_redirect}; the
 * answer is {status, url, headers, body, duration_ms}. */
TOCSIN_FN const tocsin_json *tocsin_http(const tocsin_json *request, tocsin_error *err) { return tocsin_call("http", request, err); }

/* tocsin_fetch is the JSON that a request is answered with. A status other than
 * 2xx is an error. */
TOCSIN_FN const tocsin_json *tocsin_fetch(const tocsin_json *request, tocsin_error *err)
{
	const tocsin_json *answer = tocsin_http(request, err);
	if (!answer)
		return NULL;
	const char *url = tocsin_text(tocsin_get(request, "url"), "");
	double status = tocsin_num(tocsin_get(answer, "status"), 0);
	const tocsin_json *body = tocsin_get(answer, "body");
	const char *wrong = "it is empty or not UTF-8";
	tocsin_error problem = { "", "" };
	if (status < 200 || status > 299) {
		problem.message = tocsin_format("%s answered %g", url, status);
	} else {
		const tocsin_json *v = body && body->kind == TOCSIN_TEXT ? tocsin_parse(body->text, body->length, &wrong) : NULL;
		if (v)
			return v;
		problem.message = tocsin_format("%s answered something else than JSON: %s", url, wrong);
	}
	if (err)
		*err = problem;
	return NULL;
}

/* tocsin_request is a GET of a URL; add to it with tocsin_set. */
TOCSIN_FN tocsin_json *tocsin_request(const char *url) { return tocsin_set(tocsin_object(), "url", tocsin_from_text(url)); }

/* tocsin_fetch_json is the JSON at a URL, as tocsin_fetch. */
TOCSIN_FN const tocsin_json *tocsin_fetch_json(const char *url, tocsin_error *err)
{
	tocsin_json *accept = tocsin_set(tocsin_object(), "Accept", tocsin_from_text("application/json"));
	return tocsin_fetch(tocsin_set(tocsin_request(url), "headers", accept), err);
}

/* tocsin_tcp_dial connects to host:port. 0: *err says why. */
TOCSIN_FN int tocsin_tcp_dial(const char *address, bool tls, tocsin_error *err)
{
	tocsin_json *q = tocsin_set(tocsin_object(), "op", tocsin_from_text("dial"));
	tocsin_set(tocsin_set(q, "address", tocsin_from_text(address)), "tls", tocsin_from_bool(tls));
	return (int)tocsin_num(tocsin_get(tocsin_call("tcp", q, err), "conn"), 0);
}

TOCSIN_FN tocsin_json *tocsin_tcp_op(const char *op, int conn)
{
	return tocsin_set(tocsin_set(tocsin_object(), "op", tocsin_from_text(op)), "conn", tocsin_from_num(conn));
}

/* tocsin_tcp_send reports whether the text went out. */
TOCSIN_FN bool tocsin_tcp_send(int conn, const char *text, tocsin_error *err)
{
	return tocsin_call("tcp", tocsin_set(tocsin_tcp_op("send", conn), "data", tocsin_from_text(text)), err);
}

/* tocsin_tcp_receive reads until a text, which is included, or, when that is
 * empty, what is there. The answer is {data or data_base64, eof}. */
TOCSIN_FN const tocsin_json *tocsin_tcp_receive(int conn, const char *until, tocsin_error *err)
{
	tocsin_json *q = tocsin_tcp_op("receive", conn);
	if (*until)
		tocsin_set(q, "until", tocsin_from_text(until));
	return tocsin_call("tcp", q, err);
}

TOCSIN_FN bool tocsin_tcp_close(int conn, tocsin_error *err) { return tocsin_call("tcp", tocsin_tcp_op("close", conn), err); }

/* tocsin_tls_info asks host or host:port for {version, verified, verify_error,
 * certificates: [{subject, issuer, dns_names, not_before, not_after, ...}]}. */
TOCSIN_FN const tocsin_json *tocsin_tls_info(const char *host, tocsin_error *err)
{
	return tocsin_call("tls_info", tocsin_set(tocsin_object(), "host", tocsin_from_text(host)), err);
}

/* tocsin_dns is the list of records of a type: A, AAAA, CNAME, MX, NS, SRV, TXT. */
TOCSIN_FN const tocsin_json *tocsin_dns(const char *name, const char *type, tocsin_error *err)
{
	tocsin_json *q = tocsin_set(tocsin_object(), "name", tocsin_from_text(name));
	const tocsin_json *answer = tocsin_call("dns", tocsin_set(q, "type", tocsin_from_text(type)), err);
	const tocsin_json *records = tocsin_get(answer, "records");
	return answer && !records ? tocsin_list() : records;
}

/* tocsin_kv_get is what was kept under a key, NULL when nothing was: then
 * err->code is empty. */
TOCSIN_FN const char *tocsin_kv_get(const char *key, tocsin_error *err)
{
	if (err)
		err->code = err->message = "";
	const tocsin_json *answer = tocsin_call("kv_get", tocsin_set(tocsin_object(), "key", tocsin_from_text(key)), err);
	return tocsin_bool(tocsin_get(answer, "found"), false) ? tocsin_text(tocsin_get(answer, "value"), "") : NULL;
}

/* tocsin_kv_set keeps a value for later runs; NULL forgets it. */
TOCSIN_FN bool tocsin_kv_set(const char *key, const char *value, tocsin_error *err)
{
	tocsin_json *q = tocsin_set(tocsin_object(), "key", tocsin_from_text(key));
	if (value)
		tocsin_set(q, "value", tocsin_from_text(value));
	else
		tocsin_set(q, "delete", tocsin_from_bool(true));
	return tocsin_call("kv_set", q, err);
}

/* tocsin_secret is a handle: the host puts the value in its place in what is
 * sent. NULL: *err says why. */
TOCSIN_FN const char *tocsin_secret(const char *name, tocsin_error *err)
{
	return tocsin_text(tocsin_get(tocsin_call("secret", tocsin_set(tocsin_object(), "name", tocsin_from_text(name)), err), "handle"), NULL);
}

/* tocsin_reveal is the value of a secret, which needs a grant of its own. */
TOCSIN_FN const char *tocsin_reveal(const char *name, tocsin_error *err)
{
	return tocsin_text(tocsin_get(tocsin_call("reveal", tocsin_set(tocsin_object(), "name", tocsin_from_text(name)), err), "value"), NULL);
}

/* tocsin_now is the clock of the run, in nanoseconds since 1970-01-01 UTC. */
TOCSIN_FN int64_t tocsin_now(void) { return tocsin_host_now(); }

/* tocsin_random fills n bytes from the generator of the run. */
TOCSIN_FN void tocsin_random(void *to, size_t n) { tocsin_host_random(to, (uint32_t)n); }

/* ---- requests and answers ---------------------------------------------- */

/* tocsin_run is what is asked: {config, check, system, now, step, ...}. */
typedef tocsin_json tocsin_run;

TOCSIN_FN const tocsin_json *tocsin_config(const tocsin_run *run, const char *key) { return tocsin_get(tocsin_get(run, "config"), key); }
TOCSIN_FN double tocsin_config_num(const tocsin_run *run, const char *key, double otherwise) { return tocsin_num(tocsin_config(run, key), otherwise); }
TOCSIN_FN bool tocsin_config_bool(const tocsin_run *run, const char *key, bool otherwise) { return tocsin_bool(tocsin_config(run, key), otherwise); }
TOCSIN_FN const char *tocsin_config_text(const tocsin_run *run, const char *key, const char *otherwise) { return tocsin_text(tocsin_config(run, key), otherwise); }

/* tocsin_answer is a response under way. */
typedef struct {
	tocsin_json *document, *samples;
} tocsin_answer;

TOCSIN_FN tocsin_answer *tocsin_respond(const char *outcome, const char *summary, const char *error)
{
	tocsin_answer *a = tocsin_alloc(sizeof *a);
	a->document = tocsin_set(tocsin_object(), "outcome", tocsin_from_text(outcome));
	if (*summary)
		tocsin_set(a->document, "summary", tocsin_from_text(summary));
	if (*error)
		tocsin_set(a->document, "error", tocsin_from_text(error));
	return a;
}

/* tocsin_pass answers that everything holds. */
TOCSIN_FN TOCSIN_FORMAT(1) tocsin_answer *tocsin_pass(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = tocsin_vformat(format, args);
	va_end(args);
	return tocsin_respond("pass", text, "");
}

/* tocsin_warn answers that only a warning does not hold. */
TOCSIN_FN TOCSIN_FORMAT(1) tocsin_answer *tocsin_warn(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = tocsin_vformat(format, args);
	va_end(args);
	return tocsin_respond("warn", text, text);
}

/* tocsin_fail answers that the target answered wrongly or was not reached. */
TOCSIN_FN TOCSIN_FORMAT(1) tocsin_answer *tocsin_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = tocsin_vformat(format, args);
	va_end(args);
	return tocsin_respond("fail", text, text);
}

/* tocsin_could_not_ask answers with an error: it never moves health. */
TOCSIN_FN TOCSIN_FORMAT(1) tocsin_answer *tocsin_could_not_ask(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = tocsin_vformat(format, args);
	va_end(args);
	return tocsin_respond("error", "", text);
}

/* tocsin_unreached answers for an error of a call: an error when we could not
 * ask, otherwise a failure. */
TOCSIN_FN tocsin_answer *tocsin_unreached(const tocsin_error *e)
{
	const char *text = *e->code ? tocsin_format("%s (%s)", e->message, e->code) : e->message;
	return tocsin_is_ours(e) ? tocsin_could_not_ask("%s", text) : tocsin_fail("%s", text);
}

/* The comfortable answers: true or false, and a number as the sample "value". */
TOCSIN_FN tocsin_answer *tocsin_holds(bool b) { return b ? tocsin_pass("%s", "") : tocsin_fail("it does not hold"); }

/* tocsin_sample reports a value that the manifest declares, and returns a. */
TOCSIN_FN tocsin_answer *tocsin_sample(tocsin_answer *a, const char *name, tocsin_json *value)
{
	if (!a->samples)
		tocsin_set(a->document, "samples", a->samples = tocsin_object());
	tocsin_set(a->samples, name, value);
	return a;
}

TOCSIN_FN tocsin_answer *tocsin_sample_num(tocsin_answer *a, const char *name, double n) { return tocsin_sample(a, name, tocsin_from_num(n)); }
TOCSIN_FN tocsin_answer *tocsin_sample_bool(tocsin_answer *a, const char *name, bool b) { return tocsin_sample(a, name, tocsin_from_bool(b)); }
TOCSIN_FN tocsin_answer *tocsin_sample_text(tocsin_answer *a, const char *name, const char *text) { return tocsin_sample(a, name, tocsin_from_text(text)); }

TOCSIN_FN tocsin_answer *tocsin_value(double n) { return tocsin_sample_num(tocsin_pass("%g", n), "value", n); }

/* Of an action: tocsin_pass is done, tocsin_fail refused for good, and this
 * asks for another attempt, not earlier than after so many milliseconds. */
TOCSIN_FN TOCSIN_FORMAT(2) tocsin_answer *tocsin_again(double after_ms, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	tocsin_answer *a = tocsin_respond("error", "", tocsin_vformat(format, args));
	va_end(args);
	if (after_ms > 0)
		tocsin_set(a->document, "retry_after_ms", tocsin_from_num(after_ms));
	return a;
}

/* tocsin_output gives later steps of a rule a value, and returns a. */
TOCSIN_FN tocsin_answer *tocsin_output(tocsin_answer *a, const char *name, tocsin_json *value)
{
	if (!a->samples)
		tocsin_set(a->document, "output", a->samples = tocsin_object());
	tocsin_set(a->samples, name, value);
	return a;
}

/* ---- exports ----------------------------------------------------------- */

TOCSIN_FN int tocsin_reply(tocsin_answer *(*ask)(const tocsin_run *))
{
	size_t n;
	const char *text = tocsin_input(&n), *wrong = "";
	const tocsin_run *run = tocsin_parse(text, n, &wrong);
	tocsin_answer *a = run ? ask(run) : tocsin_could_not_ask("request: %s", wrong);
	if (!a)
		tocsin_panic("the collector returned NULL instead of an answer");
	const char *out = tocsin_write(a->document);
	tocsin_host_output_write(out, (uint32_t)strlen(out));
	tocsin_free_all();
	return 0;
}

/* TOCSIN_MANIFEST is what the module says of itself, as JSON. */
#define TOCSIN_MANIFEST(...)                                                        \
	TOCSIN_EXPORT(tocsin_abi_v1) int tocsin_abi_v1(void);                       \
	int tocsin_abi_v1(void) { return 1; }                                       \
	TOCSIN_EXPORT(tocsin_describe) int tocsin_describe(void);                   \
	int tocsin_describe(void)                                                   \
	{                                                                           \
		static const char manifest[] = #__VA_ARGS__;                        \
		tocsin_host_output_write(manifest, (uint32_t)sizeof manifest - 1); \
		return 0;                                                           \
	}

/* TOCSIN_COLLECT(run) { ... } gathers one answer per run. */
#define TOCSIN_COLLECT(run)                                                  \
	static tocsin_answer *tocsin_user_collect(const tocsin_run *run);    \
	TOCSIN_EXPORT(tocsin_collect) int tocsin_collect(void);              \
	int tocsin_collect(void) { return tocsin_reply(tocsin_user_collect); } \
	static tocsin_answer *tocsin_user_collect(const tocsin_run *run)

/* TOCSIN_ACT(run) { ... } carries out one attempt of a step of a rule. */
#define TOCSIN_ACT(run)                                              \
	static tocsin_answer *tocsin_user_act(const tocsin_run *run); \
	TOCSIN_EXPORT(tocsin_act) int tocsin_act(void);               \
	int tocsin_act(void) { return tocsin_reply(tocsin_user_act); } \
	static tocsin_answer *tocsin_user_act(const tocsin_run *run)

#endif
