package tool

import (
	"context"
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Orders are what a definition says of a tool in place of what the tool says of itself. Zero
// fields change nothing.
type Orders struct {
	Effect  durable.Effect `json:"effect,omitempty"`
	Timeout time.Duration  `json:"timeout,omitempty"` // of one call, in nanoseconds
	Retry   durable.Retry  `json:"retry,omitzero"`
	Flow    *Flow          `json:"flow,omitempty"`
	Subject *Subject       `json:"subject,omitempty"`
	Cache   Cache          `json:"cache,omitzero"`
	Breaker Breaker        `json:"breaker,omitzero"`
}

// Ordered is a tool under orders. Error: invalid for orders that cannot be followed.
func Ordered(t Tool, o Orders) (Tool, error) {
	spec := t.Spec()
	spec.Options = durable.StepOptions{Effect: o.Effect, Timeout: o.Timeout, Retry: o.Retry}.Or(spec.Options)
	if o.Flow != nil {
		spec.Flow = *o.Flow
	}
	if o.Subject != nil {
		spec.Subject = *o.Subject
	}
	if o.Cache.For > 0 && spec.Options.Effect != durable.Read {
		return nil, durable.Errorf(durable.CodeInvalid, "the results of %s cannot be kept for later calls: its effect is not read", spec.Name)
	}
	under := &ordered{tool: t, spec: spec}
	if o.Cache.For > 0 {
		under.kept = newKept(o.Cache)
	}
	if o.Breaker != (Breaker{}) {
		under.fuse = &fuse{Breaker: o.Breaker}
	}
	return under, nil
}

type ordered struct {
	tool Tool
	spec Spec
	kept *kept // nil = nothing is kept
	fuse *fuse // nil = it is always called
}

// Spec implements Tool.
func (u *ordered) Spec() Spec { return u.spec }

// Call implements Tool.
func (u *ordered) Call(ctx context.Context, args json.RawMessage) (Result, error) {
	key := ""
	if u.kept != nil {
		key = u.kept.key(ctx, args)
		if result, ok := u.kept.get(key); ok {
			return result, nil
		}
	}
	if err := u.fuse.closed(); err != nil {
		return Result{}, err
	}
	result, err := u.tool.Call(ctx, args)
	u.fuse.note(err)
	if err == nil && u.kept != nil {
		u.kept.put(key, result)
	}
	return result, err
}
