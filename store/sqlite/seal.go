package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// A run row carries two checksums, so that a bit that flips in it is found when the
// row is read: the seal covers what never changes, the sum the seal and the state. Both
// are the first eight bytes of a SHA-256, and never 0.

// sealOf is the checksum of what never changes.
func sealOf(r *store.Run) int64 {
	b := make([]byte, 0, 256)
	for _, s := range []string{string(r.ID), r.Name, r.Program, r.Definition, string(r.Parent), r.Queue, r.Share, string(r.Base)} {
		b = appendText(b, s)
	}
	for _, v := range []int64{int64(r.Command), r.Created.UnixMicro(), int64(r.Priority), r.Shared} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v)) //nolint:gosec // bits, not a number
	}
	if r.Tenant != "" { // else it is the seal of a format that had none
		b = appendText(b, r.Tenant)
	}
	return digest(b)
}

// sumOf is the checksum of a state; waits are as they are stored.
func sumOf(seal int64, s *store.State, waits []byte) int64 {
	b := make([]byte, 0, 256+len(waits))
	b = appendText(b, string(s.Status))
	b = appendText(b, s.Reason)
	b = appendText(b, string(waits))
	for _, v := range []int64{seal, s.Updated.UnixMicro(), unixMicro(s.Wake), int64(s.Segment), s.Start} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v)) //nolint:gosec // bits, not a number
	}
	return digest(b)
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // a name or a reason, not 4 GB
	return append(b, s...)
}

func digest(b []byte) int64 {
	sum := sha256.Sum256(b)
	if v := int64(binary.LittleEndian.Uint64(sum[:8])); v != 0 { //nolint:gosec // bits, not a number
		return v
	}
	return 1
}

// checkRow holds a row that was read against its checksums.
func checkRow(r *store.Run, waits []byte, seal, sum int64) error {
	switch {
	case seal != sealOf(r):
		return durable.Errorf(durable.CodeInternal, "the row of run %s is damaged: the checksum of what never changes in it does not match", r.ID)
	case sum != sumOf(seal, &r.State, waits):
		return durable.Errorf(durable.CodeInternal, "the row of run %s is damaged: the checksum of its status does not match", r.ID)
	}
	return nil
}

// sealRows gives the rows of a format without checksums theirs.
func sealRows(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT n, `+untenanted+`, '' FROM run`)
	if err != nil {
		return err
	}
	type sealed struct{ n, seal, sum int64 }
	all, err := collect(rows, func(scan func(...any) error) (sealed, error) {
		r, waits, _, _, err := scanRow(scan)
		seal := sealOf(&r)
		return sealed{r.N, seal, sumOf(seal, &r.State, waits)}, err
	})
	if err != nil {
		return err
	}
	for _, s := range all {
		if _, err := tx.ExecContext(ctx, `UPDATE run SET seal = ?, sum = ? WHERE n = ?`, s.seal, s.sum, s.n); err != nil {
			return err
		}
	}
	return nil
}
