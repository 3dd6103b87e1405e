package sqlite

import (
	"context"
	"database/sql"
)

// format is the version of the schema below, kept in the database's user_version.
// A database with a higher one was written by a newer Orpine and is refused.
const format = 4

// appID marks a SQLite file as ours ("ORPN").
const appID = 0x4f52504e

// schema is append-only where it is hot: an entry is one insert into ev and its
// index; the run row changes only with its status. A clustered (run, seq) key was
// measured three to six times slower than a rowid table with a unique index. blob_at says
// where a blob is, if it is not a recent one.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE mark (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
  n          INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  program    TEXT NOT NULL,
  definition TEXT NOT NULL,
  parent     TEXT NOT NULL,
  command    INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  status     TEXT NOT NULL,
  reason     TEXT NOT NULL,
  updated    INTEGER NOT NULL,
  wake       INTEGER,
  waits      TEXT,
  segment    INTEGER NOT NULL,
  start      INTEGER NOT NULL,
  queue      TEXT NOT NULL DEFAULT '',
  priority   INTEGER NOT NULL DEFAULT 0,
  share      TEXT NOT NULL DEFAULT '',
  base       TEXT NOT NULL DEFAULT '',
  shared     INTEGER NOT NULL DEFAULT 0,
  seal       INTEGER NOT NULL DEFAULT 0,
  sum        INTEGER NOT NULL DEFAULT 0,
  tenant     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX run_ready  ON run (n)      WHERE status IN ('queued', 'running');
CREATE INDEX run_wake   ON run (wake)   WHERE wake IS NOT NULL;
CREATE INDEX run_parent ON run (parent) WHERE parent <> '';
CREATE INDEX run_name   ON run (name)   WHERE name <> '';
CREATE INDEX run_tenant ON run (tenant) WHERE tenant <> '';
CREATE TABLE ev (
  g    INTEGER PRIMARY KEY,
  run  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX ev_run_seq ON ev (run, seq);
CREATE TABLE blob (
  n    INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  data BLOB NOT NULL
);
CREATE TABLE blob_at (key BLOB PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
` + recordTable

// recordTable is strict: to say of a text that it is a blob takes one bit, and the record
// would no longer be found under its key.
const recordTable = `
CREATE TABLE record (
  kind    TEXT NOT NULL,
  key     TEXT NOT NULL,
  version INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  data    BLOB NOT NULL,
  sum     INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID, STRICT;
`

// upgradeStep turns a database of one format into one of the next, in one transaction.
type upgradeStep struct {
	statements string
	then       func(context.Context, *sql.Tx) error // what SQL cannot do; nil = nothing
}

// upgrades[n] turns a database of format n into one of format n+1. Runs go on where
// they stood: entries are not touched.
var upgrades = map[int]upgradeStep{
	1: {then: sealRows, statements: `
CREATE TABLE mark (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE run ADD COLUMN queue    TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN share    TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN base     TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN shared   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN seal     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN sum      INTEGER NOT NULL DEFAULT 0;
CREATE TABLE blob2 (
  n    INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  data BLOB NOT NULL
);
INSERT INTO blob2 SELECT n, hash, data FROM blob;
DROP TABLE blob;
ALTER TABLE blob2 RENAME TO blob;
CREATE INDEX blob_hash ON blob (substr(hash, 1, 6));
`},
	2: {statements: `
CREATE TABLE blob_at (key BLOB PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
DROP INDEX blob_hash;
` + fillIndex + markIndexed},
	3: {statements: recordTable + `
ALTER TABLE run ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
CREATE INDEX run_tenant ON run (tenant) WHERE tenant <> '';
`},
}
