package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// An export is a file: one line of plain text with the version of the format, records
// packed with zstd, and one line of plain text with the SHA-256 of all before it.
// docs/export.md describes it; it is a file format.
const (
	exportFormat = 1
	exportMagic  = "orpine export "
	sumPrefix    = "\nsha256 "
	sumSize      = len(sumPrefix) + 2*sha256.Size + 1
)

// The kinds of records, in the order in which they come.
const (
	recordFile   = "file"   // once: who wrote it
	recordRun    = "run"    // a run, followed by all its entries
	recordEntry  = "entry"  // with its JSON
	recordBlob   = "blob"   // with its bytes; after all runs
	recordAbsent = "absent" // what looks like a reference, to no blob that there is
	recordEnd    = "end"    // once: how many there were
)

// record is one record of an export: a line of JSON, and behind it as many bytes as it
// says. Keys are added, never renamed or reused.
type record struct {
	Kind  string `json:"kind"`
	Bytes int    `json:"bytes,omitempty"` // how many bytes follow the line

	Build   string     `json:"orpine,omitempty"`   // file
	Created *time.Time `json:"exported,omitempty"` // file

	Run *exported `json:"run,omitempty"` // run

	Seq   int64  `json:"seq,omitempty"`   // entry
	Chain string `json:"chain,omitempty"` // entry: as it is stored with it, or would be

	Hash string `json:"hash,omitempty"` // blob, absent

	Runs    int   `json:"runs,omitempty"`    // end
	Entries int64 `json:"entries,omitempty"` // end; run: how many follow
	Blobs   int64 `json:"blobs,omitempty"`   // end
}

// exported is the row of a run.
type exported struct {
	ID         durable.RunID  `json:"id"`
	Name       string         `json:"name,omitempty"`
	Program    string         `json:"program"`
	Definition string         `json:"definition,omitempty"`
	Parent     durable.RunID  `json:"parent,omitempty"`
	Command    int            `json:"parent_command,omitempty"`
	Base       durable.RunID  `json:"base,omitempty"` // it was a fork of; only for people
	Created    time.Time      `json:"created"`
	Queue      string         `json:"queue,omitempty"`
	Priority   int            `json:"priority,omitempty"`
	Share      string         `json:"share,omitempty"`
	Tenant     string         `json:"tenant,omitempty"`
	Status     durable.Status `json:"status"`
	Reason     string         `json:"reason,omitempty"`
	Updated    time.Time      `json:"updated"`
	Wake       time.Time      `json:"wake,omitzero"`
	Waits      []durable.Wait `json:"waits,omitempty"`
	Segment    int            `json:"segment,omitempty"`
	Start      int64          `json:"start,omitempty"`
}

func exportedOf(r *store.Run) *exported {
	return &exported{
		ID: r.ID, Name: r.Name, Program: r.Program, Definition: r.Definition, Parent: r.Parent, Command: r.Command, Base: r.Base,
		Created: r.Created, Queue: r.Queue, Priority: r.Priority, Share: r.Share, Tenant: r.Tenant, Status: r.Status, Reason: r.Reason,
		Updated: r.Updated, Wake: r.Wake, Waits: r.Waits, Segment: r.Segment, Start: r.Start,
	}
}

// row is the run as a store keeps it: whole, whatever it was a fork of.
func (x *exported) row() store.Run {
	return store.Run{
		ID: x.ID, Name: x.Name, Program: x.Program, Definition: x.Definition, Parent: x.Parent, Command: x.Command,
		Created: x.Created, Queue: x.Queue, Priority: x.Priority, Share: x.Share, Tenant: x.Tenant,
		State: store.State{
			Status: x.Status, Reason: x.Reason, Updated: x.Updated, Wake: x.Wake, Waits: x.Waits, Segment: x.Segment, Start: x.Start,
		},
	}
}

// exportWriter writes an export as it comes.
type exportWriter struct {
	sum   hash.Hash
	plain io.Writer // to the file, and into the sum
	file  io.Writer
	pack  *zstd.Encoder
}

func newExportWriter(w io.Writer) (*exportWriter, error) {
	x := &exportWriter{sum: sha256.New(), file: w}
	x.plain = io.MultiWriter(w, x.sum)
	if _, err := fmt.Fprintf(x.plain, "%s%d\n", exportMagic, exportFormat); err != nil {
		return nil, err
	}
	var err error
	x.pack, err = zstd.NewWriter(x.plain, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(exportWindow))
	return x, err
}

// exportWindow bounds the memory that packing and unpacking take.
const exportWindow = 4 << 20

func (x *exportWriter) put(r record, body []byte) error {
	r.Bytes = len(body)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := x.pack.Write(append(line, '\n')); err != nil {
		return err
	}
	_, err = x.pack.Write(body)
	return err
}

func (x *exportWriter) end() error {
	if err := x.pack.Close(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(x.file, "%s%x\n", sumPrefix, x.sum.Sum(nil))
	return err
}

func badExport(format string, args ...any) error {
	return durable.Errorf(durable.CodeInvalid, format, args...)
}

// sealedExport checks the plain lines of an export and the sum over all of it, and
// returns where its packed records are.
func sealedExport(r io.ReadSeeker) (*io.SectionReader, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		return nil, durable.Errorf(durable.CodeInternal, "an export is read from a file")
	}
	head, err := exportHead(io.NewSectionReader(at, 0, size))
	if err != nil {
		return nil, err
	}
	body := size - int64(sumSize)
	if body < head {
		return nil, badExport("the export is cut off after %d bytes: export the run again, or copy the file again", size)
	}
	sum, line := sha256.New(), make([]byte, sumSize)
	if _, err := io.Copy(sum, io.NewSectionReader(at, 0, body)); err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	if _, err := at.ReadAt(line, body); err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	switch text, found := strings.CutPrefix(string(line), sumPrefix); {
	case !found || !hexLine(text):
		return nil, badExport("the export is cut off, or its last line is damaged: it must be a sha256; export the run again, or copy the file again")
	case text != hex.EncodeToString(sum.Sum(nil))+"\n":
		return nil, badExport("the export is damaged: its sha256 is another than it says; export the run again, or copy the file again")
	}
	return io.NewSectionReader(at, head, body-head), nil
}

func hexLine(s string) bool {
	_, err := hex.DecodeString(strings.TrimSuffix(s, "\n"))
	return err == nil && strings.HasSuffix(s, "\n") && strings.ToLower(s) == s
}

// exportHead reads the first line and returns how long it is.
func exportHead(r io.Reader) (int64, error) {
	const longest = int64(len(exportMagic)) + 12
	line, err := bufio.NewReader(io.LimitReader(r, longest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read the export: %w", err)
	}
	text, found := strings.CutPrefix(line, exportMagic)
	version, err := strconv.Atoi(strings.TrimSuffix(text, "\n"))
	switch {
	case found && text == "", found && err == nil && !strings.HasSuffix(text, "\n"):
		return 0, badExport("the export is cut off after %d bytes: export the run again, or copy the file again", len(line))
	case !found || err != nil || version < 1 || line != fmt.Sprintf("%s%d\n", exportMagic, version):
		return 0, badExport("not an export: it does not begin with %q and a number; orpine export REF -O FILE writes one", exportMagic)
	case version > exportFormat:
		return 0, badExport("the export has format %d, this build knows up to %d: use a newer orpine", version, exportFormat)
	}
	return int64(len(line)), nil
}

// exportReader reads the records of an export.
type exportReader struct {
	unpack *zstd.Decoder
	r      *bufio.Reader
	number int // of the record that was read last, from 1
}

func newExportReader(body io.ReadSeeker) (*exportReader, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	d, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(exportWindow))
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	return &exportReader{unpack: d, r: bufio.NewReaderSize(d, 64<<10)}, nil
}

func (x *exportReader) close() { x.unpack.Close() }

// maxLine bounds the line of a record: a run may wait for many things, or have a long reason.
const maxLine = 64 << 20

// next returns the next record and its bytes; io.EOF at the end.
func (x *exportReader) next() (record, []byte, error) {
	var rec record
	line, err := x.line()
	if err != nil {
		return rec, nil, err
	}
	x.number++
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		return rec, nil, x.bad("%v", err)
	}
	if rec.Bytes < 0 || rec.Bytes > maxBlob {
		return rec, nil, x.bad("it has %d bytes", rec.Bytes)
	}
	var body bytes.Buffer // grows with what there is, not with what the line says
	if n, err := io.CopyN(&body, x.r, int64(rec.Bytes)); err != nil {
		return rec, nil, x.bad("it is cut off after %d of %d bytes: %v", n, rec.Bytes, err)
	}
	return rec, body.Bytes(), nil
}

func (x *exportReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := x.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, badExport("the export is damaged behind record %d: %w", x.number, err)
		case len(line) > maxLine:
			return nil, badExport("the export is damaged: the line of record %d is too long", x.number+1)
		}
	}
}

// bad says what is wrong with the record that was read last.
func (x *exportReader) bad(format string, args ...any) error {
	return badExport("the export is damaged: record %d: %w", x.number, fmt.Errorf(format, args...))
}
