package sqlite

import (
	"errors"
	"io/fs"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/orpine-run/orpine/durable"
)

// explain gives an SQLite error the code and the advice a person can act on.
func explain(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if _, done := errors.AsType[*durable.Error](err); done || !ok {
		return err
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB, codes.SQLITE_ERROR: // the last one: what our own statements name is not there
		return damaged(err)
	case codes.SQLITE_FULL:
		return durable.Errorf(durable.CodeUnavailable, "the disk is full (%w): free space and start again, nothing acknowledged is lost", err)
	case codes.SQLITE_IOERR:
		return durable.Errorf(durable.CodeUnavailable, "the disk failed (%w): check it and start again, nothing acknowledged is lost", err)
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		return durable.Errorf(durable.CodeUnavailable, "%s cannot be written (%w): check its permissions", File, err)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return durable.Errorf(durable.CodeConflict, "%s is locked by another program (%w)", File, err)
	}
	return err
}

// busy reports whether somebody else holds a lock.
func busy(err error) bool {
	e, ok := errors.AsType[*driver.Error](err)
	return ok && (e.Code()&0xff == codes.SQLITE_BUSY || e.Code()&0xff == codes.SQLITE_LOCKED)
}

// unusable wraps an error of the file system around the data directory.
func unusable(err error) error {
	if err == nil {
		return nil
	}
	return durable.Errorf(durable.CodeUnavailable, "%w: give a directory you may write to with --data", err)
}

func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return durable.Errorf(durable.CodeNotFound, "no runs here: %w", err)
	}
	return unusable(err)
}
