// Package temporal is the second engine: the same programs, driven by a Temporal
// cluster instead of a data directory. It implements durable.Engine and
// durable.Context over Temporal's client and worker and nothing else: it has no store
// and no journal of its own, and knows nothing of agents.
//
// On the line request -> run -> step -> journal -> event -> client it stands where
// engine/embedded does; Temporal's history is the journal. There is no event feed:
// what is stored is seen with Temporal's own tools, and deltas are heard in the
// process that runs the step ([Config].Emit).
//
// # What maps to what
//
//	run              workflow execution; the run's ID is the workflow's ID
//	program          workflow type of its name, with one argument
//	segment          execution of a chain; Continue is continue-as-new
//	step             one activity type, which finds the step function by name
//	attempt          attempt; durable.Retry decides on the next, the server's policy
//	                 is for attempts that were lost
//	Timeout          inside the attempt; the server's start-to-close is 30 s longer
//	timer            timer (a server fires it up to a second late)
//	Child            child workflow; parent-close policy request-cancel, with Abandon abandon
//	Inbox            signal channel of its name, looked at with Len; any client can send to it
//	Select           Await over all of them: a Selector would take the signal
//	Go, Shield       workflow.Go, NewDisconnectedContext
//	Future.Cancel    WithCancel around each command and each coroutine
//	Ask, Answer      an update with a validator: the run decides which answer is first
//	Info().Now       workflow.Now
//	Cancel           cancel request with its reason
//	Kill             terminate with its reason, the run first, then its descendants
//	Run.Waits        a query, answered by a worker
//	blocked          a turn of the run that failed three times: Temporal goes on trying by itself
//	Failure          application error: its type is the code, its detail the whole failure
//	value over 8 KB  the hash of a blob, wherever it occurs
//	definition       always a blob; its hash stands in the memo
//
// # What is different
//
//   - There is no in-doubt state and so no Resolve. An irreversible step has one
//     attempt, whatever its Retry says; when that is lost, or its time is up, the program
//     gets a failure with code unavailable and reason "in_doubt", and decides itself.
//     Reconcile functions are not called.
//   - Limits, queues, priorities and shares, and Within, are the embedded engine's: here
//     they change nothing.
//   - There is no Resume: a blocked run goes on once a worker has what it lacks. A step
//     that returned durable.Block is tried again every 15 seconds.
//   - A question has its deadline and default here too; one with a quorum or escalation is
//     refused, and its schema and digest are not looked at.
//   - What a program returns beside an error is lost.
//   - There is no Pause. There is no Settle, no Journal, no Feed; Attempt.Epoch is always 1.
//   - Several events can reach a program at once. Then Select takes the first of its
//     arguments, where the embedded engine would follow the journal. A replay takes the
//     same one.
//   - A cancel or a kill reaches a step in flight with its next heartbeat, within
//     [Config].Heartbeat; the run itself learns of it at once.
//   - A child whose future is canceled in the turn that asked for it begins and is
//     canceled then; it would never begin in the embedded engine.
//   - A kill is not one transaction: a child may run clean-up code in the moment between
//     its parent's end and its own.
//   - Questions are known to their segment: after a Continue an ID answered before it is
//     not_found, not a conflict.
//   - An ID is taken as long as Temporal retains the run.
//   - JSON that is inline is stored compacted.
//
// # What tests it
//
// Everything in enginetest.Core runs on a dev server, replaying at each turn, where the
// environment variable ORPINE_TEMPORAL names the temporal binary or the PATH has it.
// Without one, all of it but kills and refused starts runs in the SDK's own test
// environment, as does the agent program.
package temporal
