package script

import (
	"bytes"
	"context"
	_ "embed" // the guest
	"encoding/json"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/wasm"
)

// guest is tool/script/guest, built for wasip1 and packed; the tests say how.
//
//go:embed guest.wasm.zst
var guest []byte

func starlarkProgram() (wasm.Program, error) {
	data, err := unpack(guest)
	if err != nil {
		return wasm.Program{}, err
	}
	return wasm.NewProgram(data)
}

func unpack(packed []byte) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(r)
	return out.Bytes(), err
}

// maxAnswer bounds what the guest writes: a text may be escaped to six times its length.
const maxAnswer = 4 << 20

func (s *script) starlark(ctx context.Context, code string, input json.RawMessage) (answer, error) {
	program, err := s.tools.starlark()
	if err != nil {
		return answer{}, durable.Errorf(durable.CodeInternal, "the interpreter of Starlark is damaged: %w", err)
	}
	request, err := json.Marshal(map[string]any{"code": code, "input": input, "steps": s.declared.Steps, "memory_mb": s.declared.MemoryMB})
	if err != nil {
		return answer{}, durable.Errorf(durable.CodeInvalid, "input: %w", err)
	}
	result, err := s.tools.wasm.Run(ctx, "starlark", program, wasm.Declared{
		MemoryMB: s.declared.MemoryMB, Timeout: s.timeout.String(), MaxBytes: maxAnswer, Pure: true,
	}, request)
	switch {
	case err != nil:
		return answer{}, err
	case result.Error && outOfMemory(result.Content):
		return answer{Error: memoryText(s.declared.MemoryMB)}, nil
	case result.Error && strings.Contains(result.Content, "stack exceeds"):
		return answer{Error: "its functions call each other too deeply"}, nil
	case result.Error:
		return answer{Error: cut(result.Content, 500)}, nil
	}
	var a answer
	if err := json.Unmarshal([]byte(result.Content), &a); err != nil {
		return answer{}, durable.Errorf(durable.CodeInternal, "the interpreter of Starlark does not answer: %w", err)
	}
	return a, nil
}

// outOfMemory reports whether a guest ended because there was no more, as Go says it.
func outOfMemory(text string) bool {
	for _, sign := range []string{"out of memory", "cannot allocate memory", "makeslice: ", "growslice: "} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
