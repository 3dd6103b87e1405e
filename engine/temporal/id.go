package temporal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// newRunID makes an ID of the shape every engine uses: 40 bits of milliseconds/16,
// so that IDs sort by creation, and five bytes that tell runs of one moment apart.
func newRunID(now time.Time, tail [5]byte) durable.RunID {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli()/16)<<24) //nolint:gosec // positive until the year 2527
	copy(raw[5:10], tail[:])
	return durable.RunID(strings.ToLower(base32.HexEncoding.EncodeToString(raw[:10])))
}

// randomTail is for runs that somebody outside starts.
func randomTail() (tail [5]byte) {
	rand.Read(tail[:]) // never fails, by its documentation
	return tail
}

// childTail is for runs that a program starts: a replay must give the same ID.
func childTail(parent durable.RunID, segment, command int) [5]byte {
	sum := sha256.Sum256([]byte(key(parent, segment, command)))
	return [5]byte(sum[:5])
}

// key names a command for ever; steps get it as their idempotency key.
func key(run durable.RunID, segment, command int) string {
	return fmt.Sprintf("%s/%d/%d", run, segment, command)
}
