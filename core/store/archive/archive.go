// Package archive writes everything that a database holds into one file and
// reads it back, the same whichever backend it comes from or goes to.
//
// A file is compressed lines of JSON: a header, and for each table its name with
// its columns, its rows as arrays, and their number with a checksum; the last
// line says how many tables there were. What one database gave another one
// gives again, byte for byte but for the header: that is how an import is
// verified before it is committed. Neither writing nor reading holds more than
// one row in memory.
package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Format is the version of the files that this release writes, and the newest
// that it reads.
const Format = 1

// Kind of the values of a column. Any value may be nil besides.
type Kind string

// The kinds, and the type that their values have in Go.
const (
	Int   Kind = "int"   // int64
	Bool  Kind = "bool"  // int64, 0 or 1
	Text  Kind = "text"  // string
	JSON  Kind = "json"  // string, kept to the letter
	Bytes Kind = "bytes" // []byte
)

// Column is one column of a [Table].
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// Table is rows that are archived.
type Table struct {
	Name    string   `json:"table"`
	Columns []Column `json:"columns"`
	// Key is how many columns, from the first, identify a row and order rows.
	Key int `json:"-"`
	// Seeded tables have rows from the beginning, which an import replaces.
	Seeded bool `json:"-"`
}

// Header is the first line of a file.
type Header struct {
	Tocsin  string    `json:"tocsin"` // "export"
	Format  int       `json:"format"`
	Release string    `json:"release"`
	Made    time.Time `json:"made"`
}

// end closes a table, or the file.
type end struct {
	End    string `json:"end"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256,omitempty"`
}

// Sum is what rows of a table come to.
type Sum struct {
	Rows   int64
	SHA256 string
}

// summer adds lines up.
type summer struct {
	rows int64
	hash hash.Hash
}

func newSummer() summer { return summer{hash: sha256.New()} }

func (s *summer) add(line []byte) {
	s.rows++
	s.hash.Write(line)
}

func (s *summer) sum() Sum { return Sum{s.rows, hex.EncodeToString(s.hash.Sum(nil))} }

// appendRow writes a row as a line.
func appendRow(line []byte, t *Table, row []any) ([]byte, error) {
	if len(row) != len(t.Columns) {
		return nil, fmt.Errorf("%s: a row of %d columns, want %d", t.Name, len(row), len(t.Columns))
	}
	line = append(line, '[')
	for i, value := range row {
		if i > 0 {
			line = append(line, ',')
		}
		kind := t.Columns[i].Kind
		switch v := value.(type) {
		case nil:
			line = append(line, "null"...)
		case int64:
			line = strconv.AppendInt(line, v, 10)
		case []byte:
			line = append(line, '"')
			line = base64.StdEncoding.AppendEncode(line, v)
			line = append(line, '"')
		case string:
			if !utf8.ValidString(v) { // as an array of one, since JSON has no other texts than Unicode
				line = append(line, `["`...)
				line = base64.StdEncoding.AppendEncode(line, []byte(v))
				line = append(line, `"]`...)
				continue
			}
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			line = append(line, text...)
		default:
			return nil, fmt.Errorf("%s.%s: a value of %T, want one of kind %s", t.Name, t.Columns[i].Name, value, kind)
		}
	}
	return append(line, "]\n"...), nil
}

// Writer writes a file. Make one with [NewWriter], give it every row of every
// table in the order of [Tables], and close it.
type Writer struct {
	zip    *gzip.Writer
	out    *bufio.Writer
	table  *Table
	tables int64
	rows   int64
	line   []byte
	sum    summer
}

// NewWriter begins a file.
func NewWriter(w io.Writer, release string, now time.Time) (*Writer, error) {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	a := &Writer{zip: zip, out: bufio.NewWriterSize(zip, 1<<16)}
	return a, a.put(Header{Tocsin: "export", Format: Format, Release: release, Made: now.UTC()})
}

func (a *Writer) put(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(text, '\n'))
	return err
}

// Table begins a table and ends the one before.
func (a *Writer) Table(t *Table) error {
	if err := a.finish(); err != nil {
		return err
	}
	a.table, a.sum = t, newSummer()
	a.tables++
	return a.put(t)
}

// Row writes a row of the table.
func (a *Writer) Row(row []any) error {
	var err error
	if a.line, err = appendRow(a.line[:0], a.table, row); err != nil {
		return err
	}
	a.sum.add(a.line)
	a.rows++
	_, err = a.out.Write(a.line)
	return err
}

// Rows is how many were written.
func (a *Writer) Rows() int64 { return a.rows }

func (a *Writer) finish() error {
	if a.table == nil {
		return nil
	}
	sum := a.sum.sum()
	return a.put(end{End: a.table.Name, Rows: sum.Rows, SHA256: sum.SHA256})
}

// Close ends the file. It does not close what is written to.
func (a *Writer) Close() error {
	return errors.Join(a.finish(), a.put(end{End: "export", Rows: a.tables}), a.out.Flush(), a.zip.Close())
}

// Checker is where rows go that are only added up: what a database gives after
// an import, to compare it with what the file has.
type Checker struct {
	table *Table
	sum   summer
	sums  map[string]Sum
	line  []byte
}

// NewChecker is an empty one.
func NewChecker() *Checker { return &Checker{sums: map[string]Sum{}} }

// Table begins a table.
func (c *Checker) Table(t *Table) error {
	c.finish()
	c.table, c.sum = t, newSummer()
	return nil
}

// Row adds a row of the table.
func (c *Checker) Row(row []any) error {
	var err error
	if c.line, err = appendRow(c.line[:0], c.table, row); err != nil {
		return err
	}
	c.sum.add(c.line)
	return nil
}

func (c *Checker) finish() {
	if c.table != nil {
		c.sums[c.table.Name] = c.sum.sum()
	}
}

// Rows takes tables and their rows.
type Rows interface {
	Table(t *Table) error
	Row(row []any) error
}

var (
	_ Rows = (*Writer)(nil)
	_ Rows = (*Checker)(nil)
)

// Reader reads a file. Make one with [NewReader]; go through tables with
// [Reader.Next] and through the rows of each with [Reader.Row].
type Reader struct {
	Header Header
	// Clean makes of a text what the database can store. Default: as it is.
	Clean func(string) string

	zip     *gzip.Reader
	in      *bufio.Reader
	line    []byte
	n       int64 // of the line
	table   *Table
	given   []int  // columns of the file by column of the table; -1: not in the file
	file    *Table // the table as it is in the file
	sum     summer // of the lines of the file
	is      summer // of the rows as they were returned
	sums    map[string]Sum
	changed int64
	rows    int64
	partial map[string]bool // tables of which the file lacks columns
	ended   bool
}

// NewReader reads the header. It refuses what is not an export, and what a later
// release has written that does it otherwise.
func NewReader(r io.Reader) (*Reader, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, errors.New("this is not a file that 'tocsin export' wrote")
	}
	a := &Reader{zip: zip, in: bufio.NewReaderSize(zip, 1<<16), sums: map[string]Sum{}, partial: map[string]bool{}}
	if err := a.read(); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(a.line, &a.Header); err != nil || a.Header.Tocsin != "export" {
		return nil, errors.New("this is not a file that 'tocsin export' wrote")
	}
	if a.Header.Format < 1 || a.Header.Format > Format {
		return nil, fmt.Errorf("it is an export of format %d, written by tocsin %s, and this release reads up to %d: import it with that release or a later one",
			a.Header.Format, a.Header.Release, Format)
	}
	return a, nil
}

// MaxLine is the longest line, in bytes: a row that holds a module is the
// longest there is.
const MaxLine = 256 << 20

// read reads the next line.
func (a *Reader) read() error {
	a.n++
	a.line = a.line[:0]
	for {
		part, err := a.in.ReadSlice('\n')
		if len(a.line)+len(part) > MaxLine {
			return fmt.Errorf("line %d: it is longer than %d MiB", a.n, MaxLine>>20)
		}
		a.line = append(a.line, part...)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("line %d: the file ends here, before the end of the export: it was cut off", a.n)
		default:
			return fmt.Errorf("line %d: %w", a.n, err)
		}
	}
}

// Next returns the next table, or io.EOF when the file has ended as it should.
func (a *Reader) Next() (*Table, error) {
	if a.ended {
		return nil, io.EOF
	}
	for a.table != nil { // rows that nobody wanted
		if _, err := a.Row(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := a.read(); err != nil {
		return nil, err
	}
	var line struct {
		Table
		end
	}
	if err := json.Unmarshal(a.line, &line); err != nil {
		return nil, fmt.Errorf("line %d: it must begin a table: %w", a.n, err)
	}
	if line.End == "export" {
		return nil, a.finish(line.Rows)
	}
	if line.End != "" || line.Name == "" {
		return nil, fmt.Errorf("line %d: it must begin a table or end the export", a.n)
	}
	return a.begin(&line.Table)
}

// finish is reached at the last line.
func (a *Reader) finish(tables int64) error {
	if tables != int64(len(a.sums)) {
		return fmt.Errorf("line %d: the export says that it has %d tables, and %d were there", a.n, tables, len(a.sums))
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(a.in, 1)); err != nil { // the checksum of the compression is behind the last byte
		return fmt.Errorf("after line %d: %w", a.n, err)
	}
	a.ended = true
	return io.EOF
}

// begin finds the table that the file begins among those that are known.
func (a *Reader) begin(file *Table) (*Table, error) {
	known := Tables()
	i := slices.IndexFunc(known, func(t Table) bool { return t.Name == file.Name })
	if i < 0 {
		return nil, fmt.Errorf("line %d: there is no table %q in this release; the file is of tocsin %s: import it with that release or a later one", a.n, file.Name, a.Header.Release)
	}
	if _, twice := a.sums[file.Name]; twice {
		return nil, fmt.Errorf("line %d: table %s is there twice", a.n, file.Name)
	}
	table := known[i]
	a.given = make([]int, len(table.Columns))
	found := 0
	for i, c := range table.Columns {
		a.given[i] = slices.Index(file.Columns, c)
		if a.given[i] >= 0 {
			found++
		}
	}
	if found != len(file.Columns) {
		return nil, fmt.Errorf("line %d: table %s has columns that this release does not know; the file is of tocsin %s: import it with that release or a later one", a.n, file.Name, a.Header.Release)
	}
	// What the file does not have, the database fills in.
	table.Columns = slices.DeleteFunc(slices.Clone(table.Columns), func(c Column) bool { return !slices.Contains(file.Columns, c) })
	a.partial[file.Name] = slices.Contains(a.given, -1)
	a.given = slices.DeleteFunc(a.given, func(at int) bool { return at < 0 })
	a.table, a.file, a.sum, a.is = &table, file, newSummer(), newSummer()
	return a.table, nil
}

// Row returns the next row of the table, or io.EOF at its end. The row may be
// kept.
func (a *Reader) Row() ([]any, error) {
	if a.table == nil {
		return nil, io.EOF
	}
	if err := a.read(); err != nil {
		return nil, err
	}
	if len(a.line) > 0 && a.line[0] == '{' {
		return nil, a.endTable()
	}
	a.sum.add(a.line)
	a.rows++
	row, err := a.decode()
	if err != nil {
		return nil, fmt.Errorf("line %d, a row of %s: %w", a.n, a.table.Name, err)
	}
	return row, nil
}

func (a *Reader) endTable() error {
	var line end
	if err := json.Unmarshal(a.line, &line); err != nil || line.End != a.table.Name {
		return fmt.Errorf("line %d: it must be a row of %s, or its end", a.n, a.table.Name)
	}
	if got := a.sum.sum(); got.Rows != line.Rows || got.SHA256 != line.SHA256 {
		return fmt.Errorf("line %d: table %s was changed since it was written: %d rows with the checksum %s, and the file says %d with %s",
			a.n, a.table.Name, got.Rows, got.SHA256, line.Rows, line.SHA256)
	}
	a.sums[a.table.Name] = a.is.sum()
	a.table = nil
	return io.EOF
}

// decode makes values of the line.
func (a *Reader) decode() ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(a.line, &raw); err != nil {
		return nil, err
	}
	if len(raw) != len(a.file.Columns) {
		return nil, fmt.Errorf("it has %d columns, want %d", len(raw), len(a.file.Columns))
	}
	row := make([]any, len(a.table.Columns))
	for i, c := range a.table.Columns {
		value, err := c.decode(raw[a.given[i]])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		if text, ok := value.(string); ok && a.Clean != nil {
			if clean := a.Clean(text); clean != text {
				a.changed++
				value = clean
			}
		}
		row[i] = value
	}
	line, err := appendRow(nil, a.table, row)
	if err != nil {
		return nil, err
	}
	a.is.add(line)
	return row, nil
}

func (c Column) decode(raw json.RawMessage) (any, error) {
	if bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var err error
	switch c.Kind {
	case Int, Bool:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%.40q is not a whole number", raw)
		}
		if c.Kind == Bool && n != 0 && n != 1 {
			return nil, fmt.Errorf("%d is neither 0 nor 1", n)
		}
		return n, nil
	case Bytes:
		var b []byte
		err = json.Unmarshal(raw, &b)
		return b, err
	case Text, JSON:
		if len(raw) > 0 && raw[0] == '[' {
			var b [][]byte
			if err = json.Unmarshal(raw, &b); err == nil && len(b) == 1 {
				return string(b[0]), nil
			}
			return nil, fmt.Errorf("%.40q is not a text", raw)
		}
		var text string
		err = json.Unmarshal(raw, &text)
		return text, err
	}
	return nil, fmt.Errorf("there is no kind %q", c.Kind)
}

// Rows is how many were read.
func (a *Reader) Rows() int64 { return a.rows }

// Changed is how many texts [Reader.Clean] changed.
func (a *Reader) Changed() int64 { return a.changed }

// Verify fails when what c was given is not what this reader returned. Of a
// table that has more columns than the file only the number of rows is compared.
func (a *Reader) Verify(c *Checker) error {
	c.finish()
	for _, t := range Tables() {
		want, there := a.sums[t.Name]
		got := c.sums[t.Name]
		if !there {
			if got.Rows > 0 && !t.Seeded {
				return fmt.Errorf("table %s has %d rows after the import, and the file has none", t.Name, got.Rows)
			}
			continue
		}
		if got.Rows != want.Rows || got != want && !a.partial[t.Name] {
			return fmt.Errorf("table %s of the database is not what the file has: %d rows with the checksum %s, want %d with %s", t.Name, got.Rows, got.SHA256, want.Rows, want.SHA256)
		}
	}
	return nil
}
