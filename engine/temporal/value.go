package temporal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/orpine-run/orpine/durable"
)

// inline is the size in bytes up to which a value goes into Temporal's history
// itself; above it the history holds its hash.
const inline = 8 << 10

// blobPatience bounds one read or write of a blob by replayed code, where it stops
// the worker's whole turn.
const blobPatience = 5 * time.Second

// value is JSON on its way through Temporal: itself, or the name of the blob it is in.
type value struct {
	JSON json.RawMessage `json:"json,omitempty"`
	Ref  *durable.Ref    `json:"ref,omitempty"`
}

// values packs and unpacks. Without blobs everything is inline and Temporal's own
// limits hold.
type values struct{ blobs durable.Blobs }

// pack is the same for the same data wherever it runs, since blobs are named by content.
func (v values) pack(ctx context.Context, data json.RawMessage) (value, error) {
	if v.blobs == nil || len(data) <= inline {
		return value{JSON: data}, nil
	}
	return v.pin(ctx, data)
}

// pin puts data into a blob however small it is.
func (v values) pin(ctx context.Context, data json.RawMessage) (value, error) {
	if v.blobs == nil || data == nil {
		return value{JSON: data}, nil
	}
	ref, err := v.blobs.Put(ctx, data)
	if err != nil {
		return value{}, fmt.Errorf("keep a value of %d bytes: %w", len(data), err)
	}
	return value{Ref: &ref}, nil
}

func (v values) unpack(ctx context.Context, in value) (json.RawMessage, error) {
	if in.Ref == nil {
		return in.JSON, nil
	}
	if v.blobs == nil {
		return nil, errNoBlobs
	}
	data, err := v.blobs.Get(ctx, *in.Ref)
	if err != nil {
		return nil, fmt.Errorf("read value %s: %w", in.Ref.Hash, err)
	}
	return data, nil
}

// must is how replayed code packs and unpacks: an error there is one of the machine,
// not of the program, so the turn is given up and Temporal tries it again.
func must[I, O any](do func(context.Context, I) (O, error), in I) O {
	ctx, cancel := context.WithTimeout(context.Background(), blobPatience)
	defer cancel()
	out, err := do(ctx, in)
	if err != nil {
		panic(fmt.Sprintf("engine/temporal: %v", err))
	}
	return out
}

// blobKey marks a signal's payload that is the name of a blob. It is metadata, so
// that no signal's own data can look like one.
const blobKey = "orpine-blob"

// payload is a signal as any client of Temporal could have sent it: plain JSON.
func (in value) payload() (converter.RawValue, error) {
	p := &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: in.JSON}
	switch {
	case in.Ref != nil:
		data, err := json.Marshal(in.Ref)
		if err != nil {
			return converter.RawValue{}, err
		}
		p.Metadata[blobKey], p.Data = []byte("1"), data
	case len(in.JSON) == 0:
		p.Data = []byte("null")
	}
	return converter.NewRawValue(p), nil
}

// received reads a signal back. What is no JSON is left for the program to fail on.
func received(raw converter.RawValue) value {
	p := raw.Payload()
	if p.GetMetadata()[blobKey] == nil {
		return value{JSON: p.GetData()}
	}
	var ref durable.Ref
	if err := json.Unmarshal(p.GetData(), &ref); err != nil {
		return value{JSON: p.GetData()}
	}
	return value{Ref: &ref}
}

// errNoBlobs is what a step gets that needs blobs where there are none.
var errNoBlobs = durable.Errorf(durable.CodeInvalid, "engine/temporal has no blobs: set Config.Blobs")

// noBlobs is what steps see when Config.Blobs is nil.
type noBlobs struct{}

func (noBlobs) Put(context.Context, []byte) (durable.Ref, error) { return durable.Ref{}, errNoBlobs }

func (noBlobs) Get(context.Context, durable.Ref) ([]byte, error) { return nil, errNoBlobs }
