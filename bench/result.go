package bench

import (
	"math"
	"time"
)

// Result is what was measured. The names of its JSON are a contract: fields are added,
// never renamed. A figure that does not apply to a workload is zero, or absent where
// absence is allowed.
type Result struct {
	Workload   string     `json:"workload"`
	Engine     string     `json:"engine"`
	Durability Durability `json:"durability"`
	Runs       int        `json:"runs"`    // as asked for
	Steps      int        `json:"steps"`   // of a run
	Payload    int        `json:"payload"` // bytes
	Secs       float64    `json:"secs"`    // measured, without the warm-up
	StepsPerS  float64    `json:"steps_per_s"`
	RunsPerS   float64    `json:"runs_per_s"`
	P50        float64    `json:"p50_ms"`
	P99        float64    `json:"p99_ms"`
	Written    int64      `json:"bytes_written"` // growth of the data directory once it is closed
	Unique     int64      `json:"unique_bytes"`  // distinct payload the programs made
	RSS        float64    `json:"rss_mb"`
	CPU        float64    `json:"cpu_s"` // of this process, in the window
	Floor      Floor      `json:"floor"`

	Loop          string  `json:"loop,omitempty"`                // agents
	StepsTotal    int64   `json:"steps_total,omitempty"`         // with the warm-up; what bytes_written is made of
	RunsTotal     int64   `json:"runs_total,omitempty"`          // likewise
	CPUPerStep    float64 `json:"cpu_us_per_step,omitempty"`     //
	CPUPerRun     float64 `json:"cpu_ms_per_run,omitempty"`      //
	AllocsPerStep float64 `json:"allocs_per_step,omitempty"`     // of the whole process
	DiskPerStep   float64 `json:"disk_bytes_per_step,omitempty"` //
	DiskPerRun    float64 `json:"disk_bytes_per_run,omitempty"`  //
	Ratio         float64 `json:"written_per_unique,omitempty"`  // thread: bytes_written / unique_bytes
	RAMPerRun     float64 `json:"ram_bytes_per_run,omitempty"`   // parked: after a collection
	IdleCPU       float64 `json:"idle_cpu_percent"`              // parked: of one core, everything parked
	Open          float64 `json:"open_ms,omitempty"`             // recover, thread: opening the data directory
	FirstStep     float64 `json:"first_step_ms,omitempty"`       // recover: exec until the first step begins
	ColdFresh     float64 `json:"cold_fresh_ms,omitempty"`       // recover: the same with a new run, no store yet
	ColdExisting  float64 `json:"cold_existing_ms,omitempty"`    // recover: the same, a small store exists
	Replay        float64 `json:"replay_ms,omitempty"`           // thread: signal until the run goes on
}

// Floor is what the machine gives to plain code, measured in the same run.
type Floor struct {
	Raw       float64 `json:"raw_per_s"`     // records appended to a log, group commit
	SQLite    float64 `json:"sqlite_per_s"`  // rows into bare SQLite, group commit
	SQLiteP50 float64 `json:"sqlite_p50_ms"` // one row, committed alone
	NoDurable float64 `json:"nodurable_runs_per_s"`
}

// per divides what a window has counted.
func (r *Result) per(m *meter) {
	r.Secs, r.CPU, r.RSS = m.took.Seconds(), m.used.cpu.Seconds(), rssMB()
	r.StepsTotal, r.RunsTotal = m.allSteps.Load(), m.allRuns.Load()
	steps, runs := m.steps.Load(), m.runs.Load()
	r.StepsPerS, r.RunsPerS = float64(steps)/r.Secs, float64(runs)/r.Secs
	r.CPUPerStep, r.AllocsPerStep = ratio(float64(m.used.cpu.Microseconds()), steps), ratio(float64(m.used.mallocs), steps)
	r.CPUPerRun = ratio(float64(m.used.cpu)/float64(time.Millisecond), runs)
}

// disk fills in what was written for all steps and runs.
func (r *Result) disk(before, after int64) {
	r.Written = after - before
	r.DiskPerStep, r.DiskPerRun = ratio(float64(r.Written), r.StepsTotal), ratio(float64(r.Written), r.RunsTotal)
}

func ratio(a float64, b int64) float64 {
	if b == 0 {
		return 0
	}
	return a / float64(b)
}

// round keeps the digits that mean something.
func (r *Result) round() {
	for _, v := range []*float64{
		&r.StepsPerS, &r.RunsPerS, &r.RSS, &r.CPUPerStep, &r.AllocsPerStep, &r.DiskPerStep, &r.DiskPerRun,
		&r.RAMPerRun, &r.Floor.Raw, &r.Floor.SQLite, &r.Floor.NoDurable,
	} {
		*v = math.Round(*v*10) / 10
	}
	for _, v := range []*float64{
		&r.Secs, &r.P50, &r.P99, &r.CPU, &r.CPUPerRun, &r.Ratio, &r.IdleCPU, &r.Open, &r.FirstStep, &r.ColdFresh,
		&r.ColdExisting, &r.Replay, &r.Floor.SQLiteP50,
	} {
		*v = math.Round(*v*1000) / 1000
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
