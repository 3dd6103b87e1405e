// Package cost reads a cloud bill in FOCUS 1.0 columns and says what it holds,
// what stands out and what could be saved.
//
// It is the domain of the cost demonstration and nothing more: [LoadBill] streams
// the CSV into a private SQLite database; [Bill.Metrics], [Bill.Logs],
// [Bill.Hotspots] and [Bill.Candidates] ask it; [BuildReport] puts the answers
// together. Every figure is exact and comes from SQL over the bill. A model may
// only word what was found: [Prompt] asks for words, [Apply] takes words and no
// figures. The rules and their arithmetic are in docs/cost-rules.md.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside the steps: what its functions return is small and is what the journal
// keeps; a [Bill] itself is opened again by whoever needs it.
package cost
