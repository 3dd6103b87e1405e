package sandbox

import "runtime"

// Report says of each tier whether this machine has it.
type Report struct {
	Tier  Tier
	Err   error    // why not, with how to mend it; nil = it is there
	Notes []string // what it lacks all the same
}

// Probe tries every tier on this machine, the jail by starting a process in one. It takes a
// few milliseconds.
func Probe() []Report {
	j := Report{Tier: TierJail}
	if s, err := New(Config{}); err != nil {
		j.Err = err
	} else {
		j.Notes = s.notes()
	}
	none := Report{Tier: TierNone}
	if runtime.GOOS == "windows" {
		none.Err = &RefusedError{Missing: "processes are started on Unix systems only", Mend: "run Orpine on Linux"}
	}
	return []Report{{Tier: TierInProc}, {Tier: TierWASM}, j, none}
}
