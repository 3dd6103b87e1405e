package cost_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/demo/cost"
)

func TestRevise(t *testing.T) {
	item := func(id string, kind cost.Kind, service, resource string, saving int64) cost.Recommendation {
		return cost.Recommendation{
			ID: id, Kind: kind, Service: service, Provider: "Cirro", ResourceID: resource, Title: id, MonthlySaving: newDecimal(t, saving),
		}
	}
	c := cost.Candidates{Currency: "USD", TotalBilled: newDecimal(t, 1000), Items: []cost.Recommendation{
		item("R1", cost.KindCommitment, "Cirro Compute", "*", 100),
		item("R2", cost.KindSchedule, "Cirro Compute", "crn:vm/staging-web-1", 50),
		item("R3", cost.KindStorageTier, "Cirro Object Storage", "crn:bucket/archive", 20),
		item("R4", cost.KindIdle, "Cirro Block Storage", "crn:disk/old", 10),
		item("R5", cost.KindOutlier, "Search and Maps", "crn:gw/egress", 5),
	}}
	tests := []struct {
		feedback string
		kept     string
		saving   string
		notes    []string
	}{
		{"accept", "R1 R2 R3 R4 R5", "185", nil},
		{" Accepted. ", "R1 R2 R3 R4 R5", "185", nil},
		{"OK", "R1 R2 R3 R4 R5", "185", nil},
		{"yes!", "R1 R2 R3 R4 R5", "185", nil},
		{"", "R1 R2 R3 R4 R5", "185", nil},
		{"drop R3", "R1 R2 R4 R5", "165", nil},
		{"please remove r3 and R1", "R2 R4 R5", "65", nil},
		{"without commitments", "R2 R3 R4 R5", "85", nil},
		{"exclude the staging-web-1", "R1 R3 R4 R5", "135", nil},
		{"skip Cirro Object Storage", "R1 R2 R4 R5", "165", nil},
		{"no idle", "R1 R2 R3 R5", "175", nil},
		{"only storage", "R3", "20", nil},
		{"only the storage recommendations.", "R3", "20", nil},
		{"only R1, R2 and R9", "R1 R2", "150", []string{"R9 (in: only R1, R2 and R9)"}},
		{"drop Search and Maps", "R1 R2 R3 R4", "180", nil},
		{"only compute but keep R4", "R1 R2 R4", "160", nil},
		{"drop R1, keep R2, drop R3; thanks", "R2 R4 R5", "65", []string{"thanks"}},
		{"drop R1 but keep R1", "R1 R2 R3 R4 R5", "185", nil},
		{"drop R77", "R1 R2 R3 R4 R5", "185", []string{"R77 (in: drop R77)"}},
		{"only R77", "R1 R2 R3 R4 R5", "185", []string{"only R77"}},
		{"make it <b>cheaper</b>", "R1 R2 R3 R4 R5", "185", []string{"make it cheaper"}},
		{"ok, drop R2", "R1 R3 R4 R5", "135", nil},
		{"R3 is too risky", "R1 R2 R3 R4 R5", "185", []string{"R3 is too risky"}},
		{"drop Cirro", "", "0", nil},
	}
	for _, tt := range tests {
		t.Run(tt.feedback, func(t *testing.T) {
			kept, changes := cost.Revise(c, tt.feedback)
			var ids, notes []string
			for _, r := range kept.Items {
				ids = append(ids, r.ID)
			}
			dropped := 0
			for _, ch := range changes {
				switch ch.Action {
				case cost.Noted:
					notes = append(notes, ch.Text)
				case cost.Dropped:
					dropped++
				}
			}
			if got := strings.Join(ids, " "); got != tt.kept || kept.ProjectedSaving.String() != tt.saving && kept.ProjectedSaving.Sign() != 0 {
				t.Errorf("kept %q saving %s, want %q saving %s", got, kept.ProjectedSaving, tt.kept, tt.saving)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			if dropped != len(c.Items)-len(ids) {
				t.Errorf("%d drops told, %d happened", dropped, len(c.Items)-len(ids))
			}
			again, changesAgain := cost.Revise(c, tt.feedback)
			if diff := cmp.Diff(kept, again) + cmp.Diff(changes, changesAgain); diff != "" {
				t.Errorf("the second time it differs:\n%s", diff)
			}
		})
	}
	if len(c.Items) != 5 {
		t.Error("Revise changed its input")
	}
}

func newDecimal(t *testing.T, n int64) cost.Decimal {
	t.Helper()
	var d cost.Decimal
	if err := d.UnmarshalJSON(strconv.AppendInt(nil, n, 10)); err != nil {
		t.Fatal(err)
	}
	return d
}

func FuzzRevise(f *testing.F) {
	for _, s := range []string{"accept", "drop R1, R2", "only storage but keep R2", "; , .", "no no no"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, feedback string) {
		c := cost.Candidates{TotalBilled: newDecimal(t, 10), Items: []cost.Recommendation{{ID: "R1", Kind: cost.KindIdle}, {ID: "R2", Kind: cost.KindOutlier}}}
		kept, changes := cost.Revise(c, feedback)
		if len(kept.Items) > len(c.Items) || len(changes) == 0 && len(kept.Items) != len(c.Items) {
			t.Errorf("%q: kept %d of %d with %d changes", feedback, len(kept.Items), len(c.Items), len(changes))
		}
	})
}
