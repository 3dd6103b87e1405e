package orpine_test

// bug is one wrong line and who must notice it.
type bug struct {
	name string
	file string
	old  string // is in the file once
	bad  string // stands there instead
	pkg  string
	test string
}

const (
	crashTest  = "TestCrashEverywhere"
	simTest    = "TestSimulation"
	linearTest = "TestLinearizable"
	embedded   = "./engine/embedded"
)

var planted = []bug{
	{
		name: "a commit is acknowledged before it is made", file: "store/sqlite/writer.go",
		old: "	err := w.failure()\n	if err == nil && !empty(batch) {\n",
		bad: "	err := w.failure()\n	for _, g := range batch {\n		g.done(nil)\n		g.done = func(error) {}\n	}\n	if err == nil && !empty(batch) {\n",
		pkg: embedded, test: linearTest,
	},
	{
		name: "a failed commit is taken for one that was made", file: "engine/embedded/live.go",
		old: "	e := l.engine\n	if err != nil && (!b.create",
		bad: "	e := l.engine\n	if !refused(err) {\n		err = nil\n	}\n	if err != nil && (!b.create",
		pkg: embedded, test: crashTest,
	},
	{
		name: "an irreversible effect begins before its intent is durable", file: "engine/embedded/issue.go",
		old: "c.step.Options.Effect == durable.Read && l.claimed == nil", bad: "l.claimed == nil",
		pkg: "./cmd/orpine", test: "TestKillStorm",
	},
	{
		name: "what waits to begin is dropped with an empty batch", file: "engine/embedded/live.go",
		old: "l.way.tries = append(l.way.tries, b.tries...)", bad: "_ = b",
		pkg: embedded, test: simTest,
	},
	{
		name: "carried signals come out of order", file: "engine/embedded/future.go",
		old: "cmp.Compare(a.Seq, b.Seq)", bad: "cmp.Compare(b.Seq, a.Seq)",
		pkg: embedded, test: crashTest,
	},
	{
		name: "signals are not carried into the next segment", file: "engine/embedded/turn.go",
		old: "	carried := l.x.unreceived()\n", bad: "	carried := l.x.unreceived()[:0]\n",
		pkg: embedded, test: crashTest,
	},
	{
		name: "the next process does not know of carried signals", file: "engine/embedded/turn.go",
		old: ", Carry: seqs(carried),", bad: ",",
		pkg: embedded, test: crashTest,
	},
	{
		name: "signals between two segments are lost", file: "engine/embedded/turn.go",
		old: "			l.late = append(l.late, e)\n", bad: "			_ = e\n",
		pkg: embedded, test: "TestSignalBetweenSegments",
	},
	{
		name: "the bound of a step begins anew with each process", file: "engine/embedded/attempt.go",
		old: "t.deadline = c.issued.Add(within)", bad: "t.deadline = time.Now().Add(within)",
		pkg: embedded, test: "TestWithinAcrossProcesses",
	},
	{
		name: "what a step that began early streams is not kept", file: "engine/embedded/attempt.go",
		old: "t.deltas.kept = true", bad: "t.deltas.kept = false",
		pkg: embedded, test: "TestDeltasBehindResults",
	},
	{
		name: "the chain of entries is not checked", file: "journal/chain.go",
		old: "case chained && chain != stored:", bad: "case false && chain != stored:",
		pkg: "./journal", test: "TestEveryBit",
	},
	{
		name: "a recorded result is not replayed", file: "engine/embedded/turn.go",
		old: "	for i := range entries[1:] {\n", bad: "	for i := range entries[1:max(1, len(entries)-1)] {\n",
		pkg: embedded, test: crashTest,
	},
	{
		name: "the last answer wins", file: "engine/embedded/ask.go",
		old: "		if q.answered {\n			return nil,", bad: "		if false {\n			return nil,",
		pkg: embedded, test: linearTest,
	},
	{
		name: "the clock is not told when to wake a run", file: "engine/embedded/settle.go",
		old: "e.clock.wakeAt(b.run.Wake)", bad: "_ = e",
		pkg: embedded, test: simTest,
	},
	{
		name: "a queued run with a short wait is lost", file: "engine/embedded/issue.go",
		old: "			l.stay()\n", bad: "",
		pkg: embedded, test: "TestShortWaitAcrossProcesses",
	},
	{
		name: "a parent is not told of the kill of its child", file: "engine/embedded/tree.go",
		old: "		_ = parent.appendLocked(there, nil)", bad: "		_ = there",
		pkg: embedded, test: "TestKilledChild",
	},
	{
		name: "a step in doubt is promised again", file: "engine/embedded/lane.go",
		old: "!t.promised && !t.reconcile", bad: "!t.promised",
		pkg: embedded, test: "TestDoubtUnderALimit",
	},
	{
		name: "closing waits for turns", file: "engine/embedded/lane.go",
		old: "		context.AfterFunc(e.ctx, l.clear)\n", bad: "",
		pkg: embedded, test: "TestCloseWhileWaitingForATurn",
	},
	{
		name: "entries need not follow", file: "store/sqlite/apply.go",
		old: "case len(c.Entries) > 0 && c.Entries[0].Seq != h.next:", bad: "case false:",
		pkg: "./store/sqlite", test: "TestStore",
	},
	{
		name: "commits are not flushed", file: "store/sqlite/sqlite.go",
		old: "	level := \"FULL\"\n", bad: "	level := \"NORMAL\"\n",
		pkg: "./cmd/orpine", test: "TestPowerCut",
	},
	{
		name: "an intent without a result is forgotten", file: "engine/embedded/apply.go",
		old: "c.intent = e.Kind == durable.EntryIntent", bad: "c.intent = false",
		pkg: "./cmd/orpine", test: "TestKillStorm",
	},
	{
		name: "an intent is forgotten where somebody could be asked", file: "engine/embedded/apply.go",
		old: "c.intent = e.Kind == durable.EntryIntent", bad: "c.intent = e.Kind == durable.EntryIntent && c.step.Options.Limit == \"\"",
		pkg: embedded, test: crashTest,
	},
	{
		name: "a run has ended before its end is durable", file: "engine/embedded/acquire.go",
		old: "	if !errors.Is(err, durable.ErrConflict) {\n		return err\n", bad: "	if !errors.Is(err, durable.ErrConflict) || true {\n		return err\n",
		pkg: embedded, test: linearTest,
	},
	{
		name: "an ID is taken by who only asked for it", file: "engine/embedded/acquire.go",
		old: "if !errors.Is(l.fault, durable.ErrNotFound) && !errors.Is(l.fault, errLeaving) {", bad: "if true {",
		pkg: embedded, test: linearTest,
	},
	{
		name: "an attempt is counted twice", file: "engine/embedded/apply.go",
		old: "	c.attempt = e.Attempt\n", bad: "	c.attempt = e.Attempt + 1\n",
		pkg: embedded, test: "TestBackoffAcrossProcesses",
	},
	{
		name: "what was found out about a doubt is ignored", file: "engine/embedded/reconcile.go",
		old: "	case !outcome.Happened:\n", bad: "	case true:\n",
		pkg: embedded, test: crashTest,
	},
	{
		name: "a run that has ended takes more entries", file: "engine/embedded/live.go",
		old: "	case l.ended:\n", bad: "	case false:\n",
		pkg: embedded, test: linearTest,
	},
	{
		name: "a run that kills its process is taken over for ever", file: "engine/embedded/turn.go",
		old: "const maxClaims = 5", bad: "const maxClaims = 5000",
		pkg: embedded, test: "TestPoison",
	},
	{
		name: "parent and child are written in two transactions", file: "engine/embedded/tree.go",
		old: "		e.send(changes, sent, batches)\n",
		bad: "		for i := range changes {\n			e.send(changes[i:i+1], sent[i:i+1], batches[i:i+1])\n		}\n",
		pkg: embedded, test: crashTest,
	},
	{
		name: "an irreversible step whose time is up has failed", file: "engine/embedded/reconcile.go",
		old: "	return t.promised && ctx.Err() != nil", bad: "	return false && ctx.Err() != nil",
		pkg: embedded, test: "TestTimeIsUp",
	},
	{
		name: "a run that is about to be killed starts children", file: "engine/embedded/issue.go",
		old: "		if l.doomed > 0 ||", bad: "		if l.doomed > 1000 ||",
		pkg: embedded, test: "TestKillWhileChildrenAreBorn",
	},
	{
		name: "a paused run goes on", file: "engine/embedded/turn.go",
		old: "l.engine.passive || l.halts()", bad: "l.engine.passive",
		pkg: embedded, test: "TestPauseKeepsWhatComes",
	},
	{
		name: "an answer to something else is taken", file: "engine/embedded/ask.go",
		old: "r.Digest != \"\" && r.Digest != i.Digest", bad: "false",
		pkg: embedded, test: "TestReplyRefused",
	},
	{
		name: "a run that its process dies of on time is woken for ever", file: "engine/embedded/acquire.go",
		old: "run.Wake.Before(e.began)", bad: "run.Wake.Before(time.Time{})",
		pkg: embedded, test: "TestPoisonOnTime",
	},
}
