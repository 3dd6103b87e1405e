package sql

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
)

const (
	maxRecord = 1 << 20  // bytes of one record: an unclosed quote must not swallow the file
	bufSize   = 64 << 10 // of the reader
	sniffSize = 8 << 10
)

// openCSV opens a regular file and returns its size.
func openCSV(fsys fs.FS, path string) (fs.File, int64, error) {
	stat := os.Stat
	open := func(path string) (fs.File, error) { return os.Open(path) }
	if fsys != nil {
		stat = func(path string) (fs.FileInfo, error) { return fs.Stat(fsys, path) }
		open = fsys.Open
	}
	if path == "" {
		return nil, 0, durable.Errorf(durable.CodeInvalid, "no path of a CSV file given")
	}
	// Before opening: to open a pipe would wait for its writer.
	info, err := stat(path)
	if err != nil {
		return nil, 0, readError(path, err)
	}
	if info.IsDir() {
		return nil, 0, durable.Errorf(durable.CodeInvalid, "%s is a directory: name the CSV file in it", path)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, durable.Errorf(durable.CodeInvalid, "%s is not a regular file", path)
	}
	f, err := open(path)
	if err != nil {
		return nil, 0, readError(path, err)
	}
	return f, info.Size(), nil
}

// readError names the file and gives the error of the file system its code.
func readError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return durable.Errorf(durable.CodeNotFound, "%s: no such file", path)
	case errors.Is(err, fs.ErrPermission):
		return durable.Errorf(durable.CodeDenied, "%s: no permission to read it", path)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, fs.ErrInvalid):
		return durable.Errorf(durable.CodeInvalid, "%s: not the path of a file", path)
	}
	return durable.Errorf(durable.CodeUnavailable, "read %s: %w", path, err)
}

// counter counts the bytes read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// allowance stops a record that does not end.
type allowance struct {
	r    io.Reader
	left int
}

var errTooLong = errors.New("record too long")

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errTooLong
	}
	n, err := a.r.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}

// reader reads records and turns the errors of encoding/csv into ours.
type reader struct {
	file  string
	csv   *csv.Reader
	limit *allowance
	last  int // line of the last record that was read whole
}

// newReader looks at the beginning of the file: a byte order mark is skipped, a
// file that is no text is refused before its bytes are taken for records.
func newReader(file string, in io.Reader) (*reader, error) {
	limit := &allowance{r: in, left: maxRecord + 2*bufSize}
	buf := bufio.NewReaderSize(limit, bufSize)
	head, err := buf.Peek(sniffSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(file, err)
	}
	if reason := notText(head, len(head) == sniffSize); reason != "" {
		return nil, durable.Errorf(durable.CodeInvalid, "%s: %s", file, reason)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := buf.Discard(3); err != nil {
			return nil, readError(file, err)
		}
	}
	c := csv.NewReader(buf)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1 // checked by the loader, which says more
	return &reader{file: file, csv: c, limit: limit}, nil
}

// notText says why the head of a file cannot be a CSV file, or "".
func notText(head []byte, cut bool) string {
	for _, m := range []struct{ magic, what string }{
		{"PK\x03\x04", "a ZIP archive or a spreadsheet: unpack it or export it as CSV"},
		{"\x1f\x8b", "compressed with gzip: unpack it first"},
		{"PAR1", "a Parquet file: export it as CSV"},
		{"\xff\xfe", "UTF-16 text: save the file as UTF-8"},
		{"\xfe\xff", "UTF-16 text: save the file as UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return "not a CSV file but " + m.what
		}
	}
	if i := bytes.IndexByte(head, 0); i >= 0 {
		return fmt.Sprintf("not a CSV file: a NUL byte at offset %d; a binary file?", i)
	}
	for i := 0; i < len(head); {
		r, n := utf8.DecodeRune(head[i:])
		if r == utf8.RuneError && n <= 1 {
			if cut && len(head)-i < utf8.UTFMax && !utf8.FullRune(head[i:]) {
				return ""
			}
			return fmt.Sprintf("not UTF-8 text: byte 0x%02x at offset %d; save the file as UTF-8", head[i], i)
		}
		i += n
	}
	return ""
}

// read returns the next record, which is valid until the next call, or io.EOF.
func (r *reader) read() ([]string, error) {
	r.limit.left = maxRecord + 2*bufSize
	record, err := r.csv.Read()
	if err == nil {
		r.last, _ = r.csv.FieldPos(0)
		return record, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	return nil, r.explain(err)
}

func (r *reader) pos(field int) (line, column int) { return r.csv.FieldPos(field) }

func (r *reader) explain(err error) error {
	if errors.Is(err, errTooLong) {
		return durable.Errorf(durable.CodeInvalid,
			"%s:%d: the record after this line is longer than 1 MB: a quote that is never closed?", r.file, r.last)
	}
	p, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return readError(r.file, err)
	}
	if errors.Is(err, csv.ErrBareQuote) {
		return durable.Errorf(durable.CodeInvalid,
			`%s:%d:%d: a bare " in an unquoted field: put the field in quotes and double the quotes in it`, r.file, p.Line, p.Column)
	}
	if errors.Is(err, csv.ErrQuote) {
		return durable.Errorf(durable.CodeInvalid,
			`%s:%d:%d: a quoted field that begins at line %d is not closed properly: double the quotes in it`,
			r.file, p.Line, p.Column, p.StartLine)
	}
	return durable.Errorf(durable.CodeInvalid, "%s:%d:%d: %w", r.file, p.Line, p.Column, p.Err)
}

// checkHeader refuses names that would not make columns.
func checkHeader(file string, header []string) error {
	if len(header) == 1 {
		for sep, name := range map[string]string{";": "semicolons", "\t": "tabs"} {
			if strings.Contains(header[0], sep) {
				return durable.Errorf(durable.CodeInvalid,
					"%s:1: the fields seem to be separated by %s: export the file with commas", file, name)
			}
		}
	}
	if len(header) > maxColumns {
		return durable.Errorf(durable.CodeInvalid, "%s:1: %d columns: at most %d are read", file, len(header), maxColumns)
	}
	seen := map[string]int{}
	for i, h := range header {
		key := strings.ToLower(h)
		first, twice := seen[key]
		switch {
		case strings.TrimSpace(h) == "":
			return durable.Errorf(durable.CodeInvalid, "%s:1: column %d has no name: give it one or remove it", file, i+1)
		case !utf8.ValidString(h) || strings.IndexByte(h, 0) >= 0 || len(h) > 256:
			return durable.Errorf(durable.CodeInvalid, "%s:1: the name of column %d is not text of at most 256 bytes", file, i+1)
		case twice:
			return durable.Errorf(durable.CodeInvalid,
				"%s:1: columns %d and %d are both called %s: rename one", file, first, i+1, show(h))
		case key == "_rowid_":
			return durable.Errorf(durable.CodeInvalid, "%s:1: column %d is called %s, which is taken: rename it", file, i+1, h)
		}
		seen[key] = i + 1
	}
	return nil
}

// checkRequired lists all missing columns in one error.
func checkRequired(file string, header, required []string) error {
	var missing []string
	for _, want := range required {
		if slices.Contains(header, want) {
			continue
		}
		text := want
		if near := nearest(want, header); near != "" {
			text += fmt.Sprintf(" (did you mean %s?)", show(near))
		}
		missing = append(missing, text)
	}
	if len(missing) == 0 {
		return nil
	}
	return durable.Errorf(durable.CodeInvalid, "%s:1: missing columns: %s", file, strings.Join(missing, ", "))
}

// show quotes a value of a file for a message and shortens it.
func show(v string) string {
	const limit = 60
	if len(v) > limit {
		v = strings.ToValidUTF8(v[:limit], "") + "..."
	}
	return strconv.Quote(v)
}
