package sandbox

import "debug/elf"

// stubMachine is what the stub is assembled for.
const stubMachine = elf.EM_X86_64
