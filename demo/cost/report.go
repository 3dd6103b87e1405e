package cost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/orpine-run/orpine/durable"
)

// Report is what the analysis comes to. Its JSON is a format that others read:
// fields are added, never renamed.
type Report struct {
	Currency        string           `json:"currency"`
	Period          Period           `json:"period"` // of the charges
	Rows            int64            `json:"rows"`   // in Currency
	TotalBilled     Decimal          `json:"total_billed"`
	TotalEffective  Decimal          `json:"total_effective"`
	Services        []Service        `json:"services"` // all, the dearest first
	Hotspots        []Hotspot        `json:"hotspots"`
	Recommendations []Recommendation `json:"recommendations"`
	ProjectedSaving Decimal          `json:"projected_saving"` // per month
	Run             Run              `json:"run"`
	RestoredSteps   int              `json:"restored_steps"`
	RepeatedSteps   int              `json:"repeated_steps"`

	Summary       string     `json:"summary"`
	WordedBy      string     `json:"worded_by"` // the model, or "rules"
	Iteration     int        `json:"iteration"` // 1 is the first report
	Feedback      string     `json:"feedback,omitempty"`
	Changes       []Change   `json:"changes,omitempty"`
	BillingPeriod Period     `json:"billing_period"`
	Bill          File       `json:"bill"`
	Currencies    []Currency `json:"currencies,omitempty"` // only where there are several: each for itself
	Anomalies     []Anomaly  `json:"anomalies"`
	Rules         []RuleUsed `json:"rules"`
	Scale         Scale      `json:"scale"`
	Capped        bool       `json:"capped,omitempty"`
	Unlisted      int64      `json:"unlisted,omitempty"`
	Unattributed  Decimal    `json:"unattributed"` // billed without a resource
	Days          []Point    `json:"days"`
	Day           Usual      `json:"day"`
}

// wordedByRules says that no model was asked.
const wordedByRules = "rules"

// Run is the run that made a report.
type Run struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// File is the bill a report was made from.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"` // of all currencies
	Bytes  int64  `json:"bytes"`
}

// Input is what a report is made of.
type Input struct {
	Info       Info
	Metrics    Metrics
	Logs       Logs
	Hotspots   Hotspots
	Candidates Candidates // as worded and revised
	Summary    string     // default: DefaultSummary
	WordedBy   string     // default: rules
	Iteration  int        // default: 1
	Feedback   string
	Changes    []Change
	Run        Run
	Restored   int
	Repeated   int
}

// BuildReport puts a report together; the same input gives the same report.
func BuildReport(in Input) Report {
	r := Report{
		Currency: in.Metrics.Currency, Period: in.Info.Period, Rows: in.Metrics.Rows,
		TotalBilled: in.Metrics.TotalBilled, TotalEffective: in.Metrics.TotalEffective,
		Services: in.Metrics.Services, Hotspots: in.Hotspots.Items,
		Recommendations: in.Candidates.Items, ProjectedSaving: in.Candidates.ProjectedSaving,
		Run: in.Run, RestoredSteps: in.Restored, RepeatedSteps: in.Repeated,
		Summary: in.Summary, WordedBy: in.WordedBy, Iteration: max(in.Iteration, 1), Feedback: in.Feedback, Changes: in.Changes,
		BillingPeriod: in.Info.BillingPeriod,
		Bill:          File{in.Info.Name, in.Info.SHA256, in.Info.Rows, in.Info.Bytes},
		Anomalies:     in.Logs.Anomalies, Rules: in.Candidates.Rules, Scale: in.Candidates.Scale,
		Capped: in.Candidates.Capped, Unlisted: in.Candidates.Unlisted, Unattributed: in.Hotspots.Unattributed,
		Days: in.Logs.Days, Day: in.Logs.Day,
	}
	if r.Summary == "" {
		r.Summary = DefaultSummary(in.Candidates)
	}
	if r.WordedBy == "" {
		r.WordedBy = wordedByRules
	}
	if len(in.Metrics.Others) > 0 {
		r.Currencies = append(r.Currencies, Currency{
			Currency: r.Currency, Rows: r.Rows, Billed: r.TotalBilled, Effective: r.TotalEffective, Services: r.Services,
		})
		r.Currencies = append(r.Currencies, in.Metrics.Others...)
	}
	// Readers find a list where there is nothing, never null.
	r.Services, r.Hotspots, r.Recommendations = some(r.Services), some(r.Hotspots), some(r.Recommendations)
	r.Anomalies, r.Rules, r.Days = some(r.Anomalies), some(r.Rules), some(r.Days)
	return r
}

func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// JSON is the report as it is written by WriteJSON.
func (r Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "encode the report: %w", err)
	}
	return b.Bytes(), nil
}

// WriteJSON writes the report to a file, whole or not at all; its folder is made
// where it is missing. Writing twice is the same as once. Errors: denied without
// permission, exhausted on a full disk, invalid for a path that cannot be one.
func (r Report) WriteJSON(path string) error {
	data, err := r.JSON()
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

// ChartName is the file WriteMarkdown puts beside the report.
const ChartName = "services.svg"

// WriteMarkdown writes the report for people to a file, and its chart services.svg
// beside it, under the terms of WriteJSON.
func (r Report) WriteMarkdown(path string) error {
	if err := writeFile(filepath.Join(filepath.Dir(path), ChartName), []byte(r.SVG())); err != nil {
		return err
	}
	return writeFile(path, []byte(r.Markdown()))
}

// writeFile replaces a file in one step: whoever reads it sees the old or the new
// one, also after a crash.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeError(path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return writeError(path, err)
	}
	err = errors.Join(fill(f, data), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return writeError(path, errors.Join(err, os.Remove(f.Name())))
	}
	d, err := os.Open(dir)
	if err != nil {
		return writeError(path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return writeError(path, err)
	}
	return nil
}

func fill(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return f.Sync()
}

// writeError gives an error of the file system its advice. All of them can be mended
// outside, so their code is unavailable.
func writeError(path string, err error) error {
	mend := ""
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		mend = ": choose a folder you may write to"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		mend = ": free disk space"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENAMETOOLONG):
		mend = ": choose a folder that is one"
	}
	return durable.Errorf(durable.CodeUnavailable, "write %s: %w%s", path, err, mend)
}

// describe says where a report comes from in one line.
func (f File) describe() string {
	return fmt.Sprintf("%s (%s, %d bytes, SHA-256 %s)", f.Name, count(f.Rows, "row"), f.Bytes, f.SHA256)
}
