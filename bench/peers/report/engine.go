package report

// Engine is what the tables say of an engine.
type Engine struct {
	Name     string
	Version  string
	Setting  string // what makes a step's result durable
	Compared bool   // a durable engine of others: Orpine is held against the best of them
}
