package journal

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/orpine-run/orpine/store"
)

// The first byte of a stored blob says how the rest is packed. It is a file format.
const (
	packedRaw  = 0
	packedZstd = 1
)

// packMin is the size in bytes under which compressing is not worth it.
const packMin = 800

// maxBlob bounds what a damaged blob may unpack to.
const maxBlob = 1 << 30

// packer compresses and restores blobs. It is safe for concurrent use.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithAllLitEntropyCompression(true)) // text without a repeat still has letters that are more common than others
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlob))
	return &packer{enc, dec}, err
}

func (p *packer) blob(hash string, data []byte) store.Blob {
	return store.Blob{Hash: hash, Data: p.pack(data)}
}

func (p *packer) pack(data []byte) []byte {
	if len(data) >= packMin {
		packed := make([]byte, 1, len(data)) // what does not fit is not worth it
		packed[0] = packedZstd
		if packed = p.enc.EncodeAll(data, packed); len(packed) < len(data) {
			return packed
		}
	}
	return append([]byte{packedRaw}, data...)
}

func (p *packer) unpack(stored []byte) ([]byte, error) {
	if len(stored) == 0 {
		return nil, errors.New("empty blob")
	}
	switch kind, rest := stored[0], stored[1:]; kind {
	case packedRaw:
		return rest, nil
	case packedZstd:
		return p.dec.DecodeAll(rest, nil)
	default:
		return nil, fmt.Errorf("blob packed in unknown way %d", kind)
	}
}
