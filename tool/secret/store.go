package secret

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// StoreFile is the name of the store of secrets in a data directory.
const StoreFile = "secrets"

// Store is an encrypted file of secrets: XChaCha20-Poly1305 under a key that scrypt makes of
// the [Key]. It is replaced as a whole by each change, and read again when another process
// replaced it. Only names, values and their lengths together are hidden; how large the file
// is can be seen.
type Store struct {
	path string
	key  Key

	mu      sync.Mutex
	salt    []byte // of derived
	derived []byte
	read    []byte // the file as it was last opened
	values  map[string]string
}

var _ Source = (*Store)(nil)

// box is the file, as JSON. The version and the salt are authenticated with the rest.
type box struct {
	Version int    `json:"version"`
	Salt    []byte `json:"salt"`
	Nonce   []byte `json:"nonce"`
	Sealed  []byte `json:"sealed"` // JSON: name -> value in base64
}

const (
	boxVersion = 1
	maxStore   = 16 << 20
)

func (b box) bound() []byte { return append([]byte("orpine secrets 1 "), b.Salt...) }

// OpenStore opens the store in a file; one that is not there yet is empty and made by the
// first Set. Errors: denied for another key or a file that was changed by something else,
// invalid for a file that is none.
func OpenStore(path string, key Key) (*Store, error) {
	s := &Store{path: path, key: key}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.load()
}

// Lookup implements Source.
func (s *Store) Lookup(_ context.Context, name string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return "", false, err
	}
	value, ok := s.values[name]
	return value, ok, nil
}

// Names lists the secrets in the store, sorted. Errors: as for [OpenStore].
func (s *Store) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.values)), nil
}

// Set keeps a value under a name, in the place of one that was there. It is on the disk when
// Set returns. Errors: invalid for a name or a value that the broker would refuse, and those
// of [OpenStore].
func (s *Store) Set(name, value string) error {
	switch {
	case !nameRule().MatchString(name):
		return durable.Errorf(durable.CodeInvalid, "%q is not the name of a secret: it begins with a letter or _ and has up to 128 letters, digits, _, . and -", tool.Clip(name, maxShown))
	case len(value) < minBytes, len(value) > maxBytes:
		return durable.Errorf(durable.CodeInvalid, "secret %s has %d bytes; what is guarded has %d to %d", name, len(value), minBytes, maxBytes)
	}
	return s.change(func(values map[string]string) error {
		values[name] = value
		return nil
	})
}

// Delete forgets a secret. Errors: not_found, and those of [OpenStore].
func (s *Store) Delete(name string) error {
	return s.change(func(values map[string]string) error {
		if _, ok := values[name]; !ok {
			return durable.Errorf(durable.CodeNotFound, "there is no secret %s in the store", tool.Clip(name, maxShown))
		}
		delete(values, name)
		return nil
	})
}

// change replaces the file by one with other values, alone among all processes.
func (s *Store) change(edit func(map[string]string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := lockFile(s.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.load(); err != nil {
		return err
	}
	values := maps.Clone(s.values)
	if err := edit(values); err != nil {
		return err
	}
	data, err := s.seal(values)
	if err != nil {
		return err
	}
	if err := replaceFile(s.path, data); err != nil {
		return durable.Errorf(durable.CodeUnavailable, "write the store of secrets: %w", err)
	}
	s.read, s.values = data, values
	return nil
}

// load reads the file again if it is not the one that was read last.
func (s *Store) load() error {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.read, s.values = nil, map[string]string{}
		return nil
	}
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "open the store of secrets: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "open the store of secrets: %w", err)
	}
	if info.Size() > maxStore {
		return durable.Errorf(durable.CodeInvalid, "%s is no store of secrets: it has %d bytes", s.path, info.Size())
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return durable.Errorf(durable.CodeUnavailable, "read the store of secrets: %w", err)
	}
	if s.values != nil && bytes.Equal(data, s.read) {
		return nil
	}
	values, err := s.open(data)
	if err != nil {
		return err
	}
	s.read, s.values = data, values
	return nil
}

func (s *Store) open(data []byte) (map[string]string, error) {
	var b box
	if err := json.Unmarshal(data, &b); err != nil || len(b.Nonce) != chacha20poly1305.NonceSizeX {
		return nil, durable.Errorf(durable.CodeInvalid, "%s is no store of secrets", s.path)
	}
	if b.Version != boxVersion {
		return nil, durable.Errorf(durable.CodeInvalid, "%s is a store of secrets of version %d, and this program reads %d", s.path, b.Version, boxVersion)
	}
	if err := s.derive(b.Salt); err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(s.derived)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, b.Nonce, b.Sealed, b.bound())
	if err != nil {
		return nil, durable.Errorf(durable.CodeDenied, "%s does not open: the key is another one, or the file was changed", s.path)
	}
	var kept map[string][]byte
	if json.Unmarshal(plain, &kept) != nil { // the text of its error would hold a part of a value
		return nil, durable.Errorf(durable.CodeInvalid, "%s opens, but what it holds is not a list of secrets", s.path)
	}
	values := map[string]string{}
	for name, value := range kept {
		values[name] = string(value)
	}
	return values, nil
}

func (s *Store) seal(values map[string]string) ([]byte, error) {
	kept := map[string][]byte{} // bytes, for not every value is UTF-8
	for name, value := range values {
		kept[name] = []byte(value)
	}
	plain, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	if s.derived == nil {
		salt := make([]byte, 32)
		_, _ = rand.Read(salt) // it never fails
		if err := s.derive(salt); err != nil {
			return nil, err
		}
	}
	aead, err := chacha20poly1305.NewX(s.derived)
	if err != nil {
		return nil, err
	}
	b := box{Version: boxVersion, Salt: s.salt, Nonce: make([]byte, chacha20poly1305.NonceSizeX)}
	_, _ = rand.Read(b.Nonce)
	b.Sealed = aead.Seal(nil, b.Nonce, plain, b.bound())
	return json.Marshal(b)
}

func (s *Store) derive(salt []byte) error {
	if s.derived != nil && bytes.Equal(salt, s.salt) {
		return nil
	}
	derived, err := s.key.derive(salt)
	if err != nil {
		return err
	}
	s.salt, s.derived = salt, derived
	return nil
}

// replaceFile puts data in the place of a file so that a reader, or who comes after a crash,
// sees all of the old or all of the new.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}
