package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Where the header of an SQLite file keeps what is looked at before it is opened.
const (
	headerMagic   = "SQLite format 3\x00"
	headerPage    = 16 // size of a page, 2 bytes; 1 = 65536
	headerChange  = 24 // counts changes, 4 bytes
	headerPages   = 28 // how many pages there are, 4 bytes
	headerVersion = 60 // user_version, 4 bytes
	headerID      = 68 // application_id, 4 bytes
	headerValid   = 92 // at which change the number of pages was right, 4 bytes
	headerTables  = 103
	headerSize    = 108 // with the beginning of the table of tables
)

// looks is how often a database is looked at before it is called damaged, and lookAgain how
// long to wait in between: another process may be moving the log into it just now.
const (
	looks     = 3
	lookAgain = 50 * time.Millisecond
)

// examine looks at a database before SQLite opens it. SQLite would change the journal mode
// of one that is not ours; it would not notice that the end of one is missing; and where
// there is a log beside nothing, it would remove the log. What examine cannot tell is left
// to checkFormat: nothing is wrong with a file that is not there.
func examine(path string) error {
	for n := 1; ; n++ {
		err := look(path)
		if n == looks || durable.CodeOf(err) != durable.CodeUnavailable {
			return err
		}
		time.Sleep(lookAgain)
	}
}

// claims counts the stores of this process by database.
var claims = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

// claim examines a database, unless another store of this process has it open: that has
// examined it, and to close a file drops the locks that the whole process has on it, those
// of SQLite too (fcntl(2)); then nothing would keep another process from taking the log away.
func (s *Store) claim(path string) error {
	if dir, err := filepath.EvalSymlinks(s.dir); err == nil {
		path = filepath.Join(dir, File)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return unusable(err)
	}
	claims.Lock()
	defer claims.Unlock()
	if claims.of[path] == 0 {
		if err := examine(path); err != nil {
			return err
		}
	}
	claims.of[path]++
	s.claimed = path
	return nil
}

// disclaim is called when the store has closed all of its files.
func (s *Store) disclaim() {
	claims.Lock()
	defer claims.Unlock()
	if s.claimed == "" {
		return
	}
	if claims.of[s.claimed]--; claims.of[s.claimed] == 0 {
		delete(claims.of, s.claimed)
	}
	s.claimed = ""
}

func look(path string) error {
	log, err := readLog(path) // first: the database only grows, so what the log lacks now is in it then
	if err != nil {
		return unusable(err)
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && log.size > 0 {
		return damaged(fmt.Errorf("it is gone, its log %s is there", File+logSuffix))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusable(err)
	}
	var head [headerSize]byte
	n, err := io.ReadFull(f, head[:])
	info, errStat := f.Stat()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err := errors.Join(err, errStat, f.Close()); err != nil {
		return unusable(err)
	}
	if log.pages > 0 { // it holds a newer header
		return enough(info.Size(), &log)
	}
	if n < headerSize || string(head[:len(headerMagic)]) != headerMagic {
		return nil
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(head[at:]) }
	tables := binary.BigEndian.Uint16(head[headerTables:])
	if id := word(headerID); id != appID && (id != 0 || word(headerVersion) != 0 || tables > 0) {
		return foreign()
	}
	page := int64(binary.BigEndian.Uint16(head[headerPage:]))
	if page == 1 {
		page = 65536
	}
	if want := page * int64(word(headerPages)); word(headerChange) == word(headerValid) && info.Size() < want {
		return damaged(fmt.Errorf("it has %d bytes of %d", info.Size(), want))
	}
	return nil
}

// enough refuses a database that is shorter than what the log leaves to it. The first page
// is written before there is a log, so an empty one has lost it.
func enough(size int64, log *logged) error {
	if want := log.needs(); size < want || size == 0 {
		return damaged(fmt.Errorf("it has %d bytes, beside its log %s it needs %d", size, File+logSuffix, max(want, log.page)))
	}
	return nil
}

func foreign() error {
	return durable.Errorf(durable.CodeInvalid, "%s is an SQLite file of another program; choose another data directory", File)
}

func damaged(err error) error {
	return durable.Errorf(durable.CodeUnavailable, "%s is damaged (%w): keep the directory, run orpine doctor, restore a backup or choose another --data", File, err)
}

// shape names every table and what was added to it last: it fails where one is missing.
const shape = `SELECT count(*) FROM
	(SELECT meta.value, mark.value, run.waits, run.start, run.seal, run.sum, run.tenant, ev.run, ev.seq, ev.body, blob.hash, blob.data, blob_at.n, record.sum
	FROM meta, mark, run, ev, blob, blob_at, record LIMIT 0)`

// checkFormat refuses a database that is not ours, is newer than this build or lacks
// tables; older tells of one that needs to be brought up to date, which it accepts.
func checkFormat(ctx context.Context, db *sql.DB) (older bool, err error) {
	var id, version, tables int
	err = db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	if err != nil {
		return false, err
	}
	switch {
	case id == 0 && version == 0 && tables == 0: // whoever began to make it was killed before its first commit
		return false, durable.Errorf(durable.CodeNotFound, "no runs here: %s is empty", File)
	case id != appID:
		return false, foreign()
	case version < 1:
		return false, damaged(fmt.Errorf("its format is %d, which there never was", version))
	case version > format:
		return false, durable.Errorf(durable.CodeInvalid, "%s has format %d, this build knows up to %d: use a newer orpine", File, version, format)
	case version < format:
		return true, nil
	}
	var none int
	return false, db.QueryRowContext(ctx, shape).Scan(&none)
}
