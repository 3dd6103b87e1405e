package workflow

import "github.com/orpine-run/orpine/durable"

func (w *walker) plan(durable.Context, *node, scope, *Mark) (any, error) { return nil, nil }
