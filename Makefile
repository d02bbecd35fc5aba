# libgreen: build, test, install.  `make help` lists the targets and the settings.
#
# Sources are found by wildcard.  An architecture is a folder, arch/$(ARCH), found by path and never by #ifdef.
# Objects lie in $(BUILD)/obj under their source's path.  They are compiled once, position independent, for both
# libraries:
#
#   green.o         all of the library linked into one object.  Whoever links it has all of it, the libc names that it
#                   interposes included, of which an archive would supply only those that happen to be asked for.
#                   Unit tests link this one, because it still shows the internal names.  Its section groups are resolved:
#                   of one that a program has as well (the pointer to C's personality routine), the linker would drop
#                   ours, with the name that is local to us.
#   libgreen.a      green.o with its internal names made local, so that a program may have a park() of its own.
#   libgreen.so     the shared library; src/libgreen.map says what leaves it.

#: Settings:
#:   BUILD=build       folder for everything that is made (build-san with SANITIZE)
#:   PREFIX=/usr/local where install puts it; DESTDIR is put before it
#:   CFLAGS="-O2 -g"   optimisation and debugging, of C and C++
#:   WERROR=1          a warning is an error
#:   DEBUG=1           assertions at run time (GREEN_DEBUG)
#:   SANITIZE=address,undefined  everything with these sanitizers
#:   SUITES="man names unit crash gdb stress samples installed"  what check runs
#:   TESTS="mutex/* tls/*"  the unit tests that check-valgrind runs (all)
#:   SECONDS_EACH=3    seconds for each stress program and number of processors
#:   PROCS="1 2"       numbers of processors the stress programs run on
#:   SEED=             seed of the stress programs, to repeat a run
#:   V=1               show whole commands
#: Targets:

BUILD ?= $(if $(SANITIZE),build-san,build)
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
SUITES ?= man names unit crash gdb stress samples installed
SECONDS_EACH ?= 3
PROCS ?= 1 2
OBJCOPY ?= objcopy
VALGRIND ?= valgrind
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
VERSION := $(shell awk '/define GREEN_VERSION_/ { v = v sep $$3; sep = "." } END { print v }' include/green.h)
MAJOR := $(firstword $(subst ., ,$(VERSION)))
SONAME := libgreen.so.$(MAJOR)

# Tools started from here compile as we do.
export BUILD CC CXX SANITIZE
# LeakSanitizer does not know the stacks of green threads; leaks are Valgrind's part.
export ASAN_OPTIONS ?= detect_leaks=0
# In the child of a fork ThreadSanitizer looks at nothing; nor does it then have to end it.  No memory is an error number.
export TSAN_OPTIONS ?= die_after_fork=0 atexit_sleep_ms=0 allocator_may_return_null=1

# Flags.

WARN := -Wall -Wextra -Wconversion $(if $(WERROR),-Werror)
# clang does not say by a macro that there is ThreadSanitizer, as gcc does.
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer \
                  $(if $(filter thread,$(SANITIZE)),-D__SANITIZE_THREAD__))
COMMON := -pthread -Iinclude $(WARN) $(SANITIZE_FLAGS) $(if $(DEBUG),-DGREEN_DEBUG) -MMD -MP
GNU := -D_GNU_SOURCE
# ThreadSanitizer is told what the library does (base/annotate.h), and sees none of it; of libc, not these (base/unseen.c).
TSAN := $(filter thread,$(SANITIZE))
UNSEEN_NAMES := memcpy memmove memset ioctl open close pread writev mmap munmap sigemptyset sigfillset memchr strchr strrchr
# To g++, a structure and a function of one name, as green_stats is and stat(2), shadow each other.
C_FLAGS = -std=gnu11 -Wstrict-prototypes -Wshadow $(GNU) $(COMMON) $(CPPFLAGS) $(CFLAGS)
CXX_FLAGS = -std=gnu++17 $(COMMON) $(CPPFLAGS) $(CFLAGS)
LINK_FLAGS = -pthread $(SANITIZE_FLAGS) $(LDFLAGS)
INTERNAL := -Iarch -Iarch/$(ARCH) -Isrc
# exceptions: green_once() is left by those of C++.  initial-exec: a thread finds itself with one load, without a call that the tick could land in.
# libc is called without stubs, and its functions are found when the program is loaded: a first call in a handler would
# run the loader there.
LIB_FLAGS := $(INTERNAL) -fPIC -fno-plt -fvisibility=hidden -ftls-model=initial-exec -fasynchronous-unwind-tables -fexceptions
# now: no lazy binding inside the tick's handler.  nodelete: workers and handlers outlive any dlclose().
SHARED_FLAGS := -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/libgreen.map -Wl,-z,now -Wl,-z,nodelete
LIBS := -lffi -ldl

# Files.  A common.c or common_*.c beside programs is linked into each of them.

comma := ,
object = $(patsubst %,$(BUILD)/obj/%.o,$(1))
c_programs = $(patsubst %.c,$(BUILD)/%,$(filter-out %/common.c $(wildcard $(1)/common_*.c),$(wildcard $(1)/*.c)))
cxx_programs = $(patsubst %.cc,$(BUILD)/%,$(wildcard $(1)/*.cc))

# AddressSanitizer and ThreadSanitizer have libc's read() and its like themselves, to look at what is read.
NOT_OURS := $(if $(filter address thread,$(subst $(comma), ,$(SANITIZE))),src/cancel/point% tests/unit/test_cancel_libc%)
LIB_OBJECTS := $(call object,$(filter-out $(NOT_OURS),$(wildcard src/*/*.c arch/$(ARCH)/*.S)))
LIBRARIES := $(BUILD)/libgreen.a $(BUILD)/libgreen.so.$(VERSION)
UNIT_OBJECTS := $(call object,$(filter-out $(NOT_OURS),$(wildcard tests/unit/*.c tests/unit/*.cc)))
DSOS := $(patsubst tests/unit/dso/%.c,$(BUILD)/tests/dso/%.so,$(wildcard tests/unit/dso/*.c))
UNIT := $(if $(UNIT_OBJECTS),$(BUILD)/tests/unit)
# The same tests with a runner of our own, for tools: tests/unit/plain/main.c.
PLAIN := $(BUILD)/tests/unit-plain
PLAIN_OBJECTS := $(call object,$(wildcard tests/unit/plain/*.c))
STRESS := $(call c_programs,tests/stress) $(call cxx_programs,tests/stress)
CRASH := $(call c_programs,tests/crash) $(call cxx_programs,tests/crash)
GDB_PROGRAMS := $(call c_programs,tests/gdb)
RACE := $(call c_programs,tests/race)
SAMPLES := $(call c_programs,samples)
C_PROGRAMS := $(SAMPLES) $(GDB_PROGRAMS) $(RACE) $(call c_programs,tests/stress) $(call c_programs,tests/crash)
CXX_PROGRAMS := $(call cxx_programs,tests/stress) $(call cxx_programs,tests/crash)

MAKEFLAGS += --no-print-directory
MAN := $(BUILD)/man/made
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) '$(2)')

.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all tests check demo model unit crash gdb stress valgrind valgrind-faults check-valgrind check-tsan race-tsan check-races samples installed man
.PHONY: names bench install uninstall deps clean help
.PHONY: FORCE

all: $(LIBRARIES) $(MAN) #: the shared and the static library, and the manual pages

tests: all $(UNIT) $(DSOS) $(STRESS) $(CRASH) $(GDB_PROGRAMS) $(RACE) $(SAMPLES) #: build all tests and samples, run none

demo: #: install what is missing, build, show a hog (timeline.svg) and page faults (pagefault.svg), and what is done
	@tools/deps demo
	@$(MAKE) $(JOBS) $(BUILD)/samples/01_hog $(BUILD)/samples/03_pagefault
	$(BUILD)/samples/01_hog
	@echo
	$(BUILD)/samples/03_pagefault

check: #: install what is missing, build, and run every test
	@tools/deps check
	@$(MAKE) $(JOBS) tests
	@set -e; for suite in $(SUITES); do $(MAKE) $$suite; done

unit: $(UNIT) $(DSOS) #: run the unit tests
	timeout --foreground -k 10 900 $(UNIT) --timeout 120

crash: $(CRASH) #: run the programs that must die
	tests/crash/run

gdb: $(GDB_PROGRAMS) #: look at green threads in gdb
	tests/gdb/run

MEMCHECK = $(VALGRIND) -q --fair-sched=yes --error-exitcode=9 --leak-check=full \
           --show-leak-kinds=definite --errors-for-leak-kinds=definite

check-valgrind: $(PLAIN) $(DSOS) #: run unit tests under Valgrind, those that it can run: no error, no definite leak
	@set -f; UNDER='$(MEMCHECK)' tests/unit/plain/run valgrind $(TESTS)

stress: $(STRESS) #: run the stress programs
valgrind: $(STRESS) #: the same under Valgrind: no error, no definite leak
valgrind: UNDER = $(MEMCHECK)
stress valgrind:
	@set -e; for procs in $(PROCS); do for program in $(STRESS); do \
	    echo "$@: GREEN_PROCS=$$procs $$program --seconds $(SECONDS_EACH)"; \
	    GREEN_PROCS=$$procs timeout --foreground -k 10 $$(($(SECONDS_EACH) * 4 + 240)) \
	        $(UNDER) $$program --seconds $(SECONDS_EACH) $(if $(SEED),--seed $(SEED)); \
	done; done

valgrind-faults: $(BUILD)/samples/03_pagefault #: page faults that block, under Valgrind: no error
	cd $(BUILD)/samples && timeout --foreground -k 10 600 $(MEMCHECK) ./03_pagefault

# Unwinding must pass ThreadSanitizer's stack of calls, in C, too: -fexceptions.
check-tsan: #: build in build-tsan by clang with ThreadSanitizer; find a planted race, and none in the unit tests and the stress programs
	@CC=clang CXX=clang++ tools/deps tsan
	@$(MAKE) $(JOBS) BUILD=build-tsan SANITIZE=thread CC=clang CXX=clang++ DEBUG=1 CFLAGS='-O1 -g -fexceptions' race-tsan

# Against the shared library, whose name the suppressions go by.
RACE_SHARED := $(patsubst $(BUILD)/tests/race/%,$(BUILD)/tests/race/shared/%,$(RACE))
$(RACE_SHARED): $(BUILD)/tests/race/shared/%: $(BUILD)/obj/tests/race/%.c.o $(BUILD)/libgreen.so.$(VERSION)
	$(call say,LD,$@)
	@mkdir -p $(@D); ln -sf ../../../libgreen.so.$(VERSION) $(@D)/$(SONAME)
	$(Q)$(CC) $(LINK_FLAGS) -Wl,-rpath,'$$ORIGIN' -o $@ $< $(BUILD)/libgreen.so.$(VERSION)

check-races: $(RACE_SHARED) #: the same planted race under Valgrind, by Helgrind and DRD
	tests/race/run helgrind
	tests/race/run drd

race-tsan: $(RACE) $(PLAIN) $(DSOS) $(STRESS)
	tests/race/run tsan
	@TSAN_OPTIONS='$(TSAN_OPTIONS) suppressions=tests/race/tsan.supp' tests/unit/plain/run tsan
	@TSAN_OPTIONS='$(TSAN_OPTIONS) suppressions=tests/race/tsan.supp' $(MAKE) stress PROCS=2 SECONDS_EACH=2

model: #: install spin if it is missing, and model-check the protocols
	@tools/deps model
	@tests/model/run

samples: $(SAMPLES) #: run the samples
	@set -e; cd $(BUILD)/samples; for sample in $(notdir $(SAMPLES)); do \
	    echo "samples: $$sample"; timeout --foreground -k 10 300 ./$$sample; \
	done

installed: all #: use an installed copy from outside the tree, in C and C++, shared and static
	@MAKE='$(MAKE)' TEST_CFLAGS='$(SANITIZE_FLAGS)' tests/install/run

man: all #: check the manual pages against the map, and compile and run their examples
	@TEST_CFLAGS='$(SANITIZE_FLAGS)' tests/man/run

names: $(UNIT_OBJECTS) $(STRESS) $(CRASH) $(GDB_PROGRAMS) #: check that a test uses each public name
	@tests/names/run

bench: all #: measure beside NPTL and, where they are installed, Go and Boost.Fiber
	tests/bench/run

install: all #: install the libraries, headers, manual pages, libgreen.pc and gdb's script
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,lib/pkgconfig include/green share/libgreen share/man/man3 share/man/man7)
	install -m 644 include/green.h $(DESTDIR)$(PREFIX)/include
	install -m 644 include/green/*.h $(DESTDIR)$(PREFIX)/include/green
	install -m 644 $(BUILD)/libgreen.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(BUILD)/libgreen.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib
	ln -sf libgreen.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libgreen.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' pkgconfig/libgreen.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/libgreen.pc
	install -m 644 src/debug/libgreen-gdb.py src/debug/libgreen.supp $(DESTDIR)$(PREFIX)/share/libgreen
	install -m 644 $(BUILD)/man/man3/*.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 $(BUILD)/man/man7/*.7 $(DESTDIR)$(PREFIX)/share/man/man7
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall: $(MAN) #: remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,$(wildcard include/green.h include/green/*.h) lib/pkgconfig/libgreen.pc \
	    lib/libgreen.a lib/libgreen.so lib/$(SONAME) lib/libgreen.so.$(VERSION) share/libgreen/libgreen-gdb.py share/libgreen/libgreen.supp)
	for page in $(BUILD)/man/man*/*; do rm -f "$(DESTDIR)$(PREFIX)/share/man/$${page#$(BUILD)/man/}"; done
	rmdir $(DESTDIR)$(PREFIX)/include/green $(DESTDIR)$(PREFIX)/share/libgreen

deps: #: install what the tests need (apt-get), or say what it is; DEPS=demo|check|tsan|model|ci|bench
	tools/deps $(or $(DEPS),check)

clean: #: remove the build folders
	rm -rf $(BUILD) build build-*

help: #: this list
	@sed -n -e 's/^#: //p' -e 's/^\([a-z-]*\):.* #: /  \1: /p' $(firstword $(MAKEFILE_LIST))

# Compiling.  The file `flags` changes only when a command does, and everything depends on it.

$(BUILD)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CXX) $(C_FLAGS) $(CXX_FLAGS) $(LIB_FLAGS) $(LDFLAGS) $(if $(TSAN),$(UNSEEN_NAMES))' > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# Samples compile with the README's command, so also without extensions.
$(BUILD)/obj/samples/%: private GNU :=
$(LIB_OBJECTS): EXTRA = $(LIB_FLAGS) $(if $(TSAN),-fno-sanitize=thread -DGREEN_TSAN)
$(LIB_OBJECTS): UNSEEN = $(if $(TSAN),$(foreach name,$(UNSEEN_NAMES),--redefine-sym $(name)=unseen_$(name)))
$(UNIT_OBJECTS): EXTRA = $(INTERNAL) -DTEST_DSO_DIR='"$(abspath $(BUILD)/tests/dso)"'
$(BUILD)/obj/tests/unit/test_cancel_cleanup.c.o: EXTRA += -fexceptions

$(BUILD)/obj/%.c.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_FLAGS) $(EXTRA) -c -o $@ $<
	$(if $(UNSEEN),$(Q)$(OBJCOPY) $(UNSEEN) $@)

$(BUILD)/obj/%.cc.o: %.cc $(BUILD)/flags
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXX_FLAGS) $(EXTRA) -c -o $@ $<

$(BUILD)/obj/%.S.o: %.S $(BUILD)/flags
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_FLAGS) $(EXTRA) -c -o $@ $<

# The manual pages; $(MAN) says that all were made.

$(MAN): $(wildcard man/* man/examples/*.c tools/man/*.awk include/green.h include/green/*.h) README.md
	$(call say,MAN,$(@D))
	$(Q)rm -rf $(@D); mkdir -p $(@D)/man3 $(@D)/man7
	$(Q)awk -v out=$(@D) -v examples=man/examples -v version=$(VERSION) \
	    $(foreach part,headers text facts declarations sections markdown pages,-f tools/man/$(part).awk) \
	    include/green.h include/green/*.h README.md man/pages man/green.7
	$(Q)touch $@

# Linking.

$(BUILD)/green.o: $(LIB_OBJECTS)
	$(call say,LD,$@)
	$(Q)$(LD) -r --force-group-allocation -o $@ $^

$(BUILD)/libgreen.a: $(BUILD)/green.o
	$(call say,AR,$@)
	@mkdir -p $(BUILD)/obj/archive
	$(Q)$(OBJCOPY) --localize-hidden $< $(BUILD)/obj/archive/green.o
	$(Q)rm -f $@; $(AR) rcs $@ $(BUILD)/obj/archive/green.o

$(BUILD)/libgreen.so.$(VERSION): $(LIB_OBJECTS) src/libgreen.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SHARED_FLAGS) $(LINK_FLAGS) -o $@ $(LIB_OBJECTS) $(LIBS)

$(BUILD)/tests/unit: $(UNIT_OBJECTS) $(BUILD)/green.o
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK_FLAGS) -rdynamic -o $@ $^ -lcriterion $(LIBS)

$(PLAIN): $(PLAIN_OBJECTS) $(UNIT_OBJECTS) $(BUILD)/green.o
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK_FLAGS) -rdynamic -o $@ $^ $(LIBS)

$(BUILD)/tests/dso/%.so: tests/unit/dso/%.c $(BUILD)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_FLAGS) -fPIC -shared -o $@ $<

$(foreach dir,samples tests/stress tests/crash,$(if $(wildcard $(dir)/common.c),\
    $(eval $(filter $(BUILD)/$(dir)/%,$(C_PROGRAMS) $(CXX_PROGRAMS)): \
        $(call object,$(dir)/common.c $(wildcard $(dir)/common_*.c)))))

$(C_PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.c.o $(BUILD)/libgreen.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_FLAGS) -rdynamic -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -lz -lm

$(CXX_PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.cc.o $(BUILD)/libgreen.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK_FLAGS) -rdynamic -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -lz -lm

-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)
