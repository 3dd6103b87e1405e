package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/crypto/scrypt"

	"github.com/orpine-run/orpine/durable"
)

// Key opens a [Store]. It prints as nothing.
type Key struct{ text []byte }

// String implements fmt.Stringer without telling the key.
func (Key) String() string { return "[key]" }

// GoString implements fmt.GoStringer without telling the key.
func (Key) GoString() string { return "[key]" }

// minKey is how long a key must be: what a person types is stretched, but not by magic.
const minKey = 16

// KeyOf makes a key of a text, such as the value of ORPINE_SECRET_KEY. Error: invalid for
// one of less than 16 bytes.
func KeyOf(text string) (Key, error) {
	if len(text) < minKey {
		return Key{}, durable.Errorf(durable.CodeInvalid, "the key of the secrets has %d bytes; want at least %d: head -c 32 /dev/urandom | base64", len(text), minKey)
	}
	return Key{[]byte(text)}, nil
}

// KeyFile reads a key from a file that its owner alone can read. Errors: not_found, denied
// for another mode than 0600 or 0400, invalid.
func KeyFile(path string) (Key, error) {
	data, err := readGuarded(os.Open, path, 0o077)
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, durable.Errorf(durable.CodeNotFound, "there is no key file %s", path)
	}
	if err != nil {
		return Key{}, err
	}
	return KeyOf(string(bytes.TrimSpace(data)))
}

// MakeKeyFile writes a new random key into a file of mode 0600. Error: conflict when there is
// a file already.
func MakeKeyFile(path string) (Key, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	text := base64.StdEncoding.EncodeToString(random[:])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, durable.Errorf(durable.CodeConflict, "there is a key file %s already", path)
	}
	if err != nil {
		return Key{}, err
	}
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
		return Key{}, err
	}
	return KeyOf(text)
}

// Cost of scrypt, RFC 7914: 32 MB and about a tenth of a second.
const (
	scryptN = 1 << 15
	scryptR = 8
	scryptP = 1
)

func (k Key) derive(salt []byte) ([]byte, error) {
	return scrypt.Key(k.text, salt, scryptN, scryptR, scryptP, 32)
}
