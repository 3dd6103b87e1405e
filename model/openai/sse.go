package openai

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/orpine-run/orpine/model"
)

// maxLine bounds one line of a stream and the data of one event.
const maxLine = 1 << 20

// events reads the data of server-sent events. Lines end in LF, CRLF or CR;
// comments and fields other than data are skipped; the data lines of an event are
// joined by LF.
type events struct {
	r    *bufio.Reader
	skip bool // the last line ended in CR: a LF that follows belongs to it
}

func newEvents(r io.Reader) *events { return &events{r: bufio.NewReaderSize(r, 16<<10)} }

// next returns the data of the next event that has some. At the end of the input
// it is io.EOF, after an event whose closing empty line is missing. Any other
// error voids the event in hand.
func (e *events) next() ([]byte, error) {
	var data []byte
	has := false
	for {
		line, err := e.line()
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return nil, err
		}
		if value, ok := dataField(line); ok {
			if has {
				data = append(data, '\n')
			}
			data, has = append(data, value...), true
			if len(data) > maxLine {
				return nil, tooLong("event")
			}
		}
		switch {
		case has && (ended || len(line) == 0):
			return data, nil
		case ended:
			return nil, io.EOF
		}
	}
}

// dataField returns the value of a data line, without the one space behind the
// colon.
func dataField(line []byte) ([]byte, bool) {
	const field = "data"
	if len(line) < len(field) || string(line[:len(field)]) != field {
		return nil, false
	}
	rest := line[len(field):]
	if len(rest) == 0 {
		return rest, true
	}
	if rest[0] != ':' {
		return nil, false
	}
	rest = rest[1:]
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return rest, true
}

// line reads one line without its end; with io.EOF it returns what came before.
func (e *events) line() ([]byte, error) {
	var line []byte
	for {
		b, err := e.r.ReadByte()
		if err != nil {
			return line, err
		}
		skip := e.skip
		e.skip = false
		switch {
		case b == '\n' && skip && len(line) == 0:
			continue
		case b == '\n':
			return line, nil
		case b == '\r':
			e.skip = true
			return line, nil
		}
		if line = append(line, b); len(line) > maxLine {
			return nil, tooLong("line")
		}
	}
}

func tooLong(what string) error {
	return &model.Error{Code: "unavailable", Message: fmt.Sprintf("a %s of the stream is longer than %d bytes", what, maxLine)}
}
