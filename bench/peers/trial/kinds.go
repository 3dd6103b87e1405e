package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// once starts server and worker and returns the worker's row.
func (t *trial) once(ctx context.Context, kind workload.Kind, prefix string) (report.Row, error) {
	if _, err := t.serve(ctx); err != nil {
		return report.Row{}, err
	}
	return t.work(ctx, kind, prefix)
}

// parkAndRecover parks runs, kills everything, and starts it again over what is left.
func (t *trial) parkAndRecover(ctx context.Context) ([]report.Row, error) {
	const prefix = "p"
	parked, err := t.once(ctx, workload.Parked, prefix)
	if err != nil {
		return nil, err
	}
	rows := []report.Row{parked}
	t.kill()
	recovering := Load{Kind: workload.Recover, Runs: t.load.Runs}
	if why := t.peer.Lacks[workload.Recover]; why != "" {
		return append(rows, skipped(t.peer, recovering, why)), nil
	}
	up, err := t.serve(ctx)
	if err != nil {
		return append(rows, skipped(t.peer, recovering, err.Error())), nil
	}
	row, err := t.work(ctx, workload.Recover, prefix)
	if err != nil {
		return append(rows, skipped(t.peer, recovering, err.Error())), nil
	}
	if t.server != nil {
		row.Figures[report.ServerUp] = up.Seconds()
	}
	return append(rows, row), nil
}

// coldStart starts everything over a store that does not exist yet, and again over the
// one that was left behind.
func (t *trial) coldStart(ctx context.Context) ([]report.Row, error) {
	var rows []report.Row
	for _, store := range []string{"fresh", "warm"} {
		begun := time.Now()
		up, err := t.serve(ctx)
		if err != nil {
			return rows, err
		}
		row, err := t.work(ctx, workload.Cold, store)
		if err != nil {
			return rows, fmt.Errorf("%s store: %w", store, err)
		}
		at := row.Figures[report.FirstAt]
		delete(row.Figures, report.FirstAt)
		row.Case = store
		row.Figures[report.FirstStep] = at - unixMS(t.worker.Begun())
		row.Figures[report.Total] = at - unixMS(begun)
		row.Figures[report.Binary] = float64(t.peer.Bytes()) / (1 << 20)
		if t.server != nil {
			row.Figures[report.ServerUp] = up.Seconds()
		}
		rows = append(rows, row)
		select { // let the run end, so that the warm store holds it whole
		case <-t.worker.Done():
		case <-time.After(time.Second):
		case <-ctx.Done():
			return rows, ctx.Err()
		}
		t.stop()
	}
	return rows, nil
}

func unixMS(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
