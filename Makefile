# make             builds objs/weir (and runs ./configure first, if that was not done)
# make install     installs under the prefix of ./configure, DESTDIR before it; make uninstall
#                  removes it again, but no files that were changed since
# make demo        does everything: installs packages, builds, runs weir with an example
# make test        everything .ci/run asks for; test-all adds the plain and the whole chaos run,
#                  threads under TSan and two minutes of each fuzz driver
# make pgo         objs-pgo/weir: optimized with the profile of a load on loopback (gcc); takes a
#                  minute or two. Then make OBJS=objs-pgo install
# make unit lint fuzz bench clean distclean
#
# V=1 shows the commands. OBJS is the folder of the build; its ending selects the kind: objs is the
# ordinary build, objs-asan has ASan, UBSan and the debug checks, objs-tsan has TSan, objs-fuzz is
# for libFuzzer, objs-pgo is that of make pgo. A folder elsewhere: `make OBJS=/tmp/my-asan unit`.

OBJS ?= objs
KIND := $(or $(filter asan tsan fuzz pgo,$(lastword $(subst -, ,$(OBJS)))),plain)
Q := $(if $(V),,@)

.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
.PHONY: all install uninstall unit units replay fuzzers clang-check FORCE \
	test test-all demo bench pgo lint fuzz clean distclean

all: $(OBJS)/weir

# These goals need no configured tree: they configure it themselves.

test:
	$(Q)t/run
test-all:
	$(Q)t/run all
demo:
	$(Q)auto/deps build demo
	$(Q)auto/quiet objs/build.log 'building objs/weir' $(MAKE) -j$$(nproc) objs/weir
	$(Q)auto/front objs/weir --demo
bench:
	$(Q)auto/deps build bench
	$(Q)$(MAKE) objs/weir
	$(Q)t/bench/run $(BENCH)
pgo:
	rm -rf objs-pgo
	$(Q)$(MAKE) OBJS=objs-pgo
	$(Q)t/bench/train objs-pgo/weir
	$(Q)touch objs-pgo/trained
	$(Q)$(MAKE) OBJS=objs-pgo
fuzz:
	$(Q)auto/deps build fuzz
	$(Q)$(MAKE) OBJS=objs-fuzz fuzzers
	$(Q)t/fuzz/run objs-fuzz
lint:
	$(Q)$(MAKE) objs/weir
	$(Q)t/lint/run objs/weir
clean:
	rm -rf objs-asan objs-tsan objs-fuzz objs-clang objs-pgo objs/weir objs/weir.8 objs/core objs/modules objs/t objs/*.[od]
distclean: clean
	rm -rf objs

ifneq ($(filter-out test test-all demo bench pgo fuzz lint clean distclean, \
	$(or $(MAKECMDGOALS),all)),)

include objs/config.mk
objs/config.mk: configure auto/cc auto/lib auto/make auto/modules auto/options \
		$(wildcard core/* modules/*)
	$(Q)if [ ! -f objs/reconfigure ]; then ./configure; else \
	    echo '  CONF  again, as before'; \
	    sh objs/reconfigure > objs/configure.log || { cat objs/configure.log; exit 1; }; fi

# Sources and flags.

CORE_SRC := $(sort $(wildcard $(FOLDERS:%=core/%/*.c)))
UNIT_SRC := $(wildcard t/unit/*.c)
FUZZ_SRC := $(filter-out t/fuzz/replay.c,$(wildcard t/fuzz/*.c))
OBJ := $(CORE_SRC:%.c=$(OBJS)/%.o) $(MODULE_SRC:%.c=$(OBJS)/%.o) $(OBJS)/modules.o

WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla
# For the build that is installed: the same sources give the same bytes, wherever and whenever.
SAME := -ffile-prefix-map=$(CURDIR)=. -Wdate-time
TRAPS := -O1 -fno-omit-frame-pointer -DWR_DEBUG=1 -Werror -fno-sanitize-recover=all
FLAGS_plain = -O2 $(SAME) $(HARDEN) $(WERROR)
FLAGS_asan = $(TRAPS) $(TRAP_INIT) -fsanitize=address,undefined
# gcc warns that TSan does not see fences; those of weir are between processes.
FLAGS_tsan = $(TRAPS) $(TRAP_INIT) -fsanitize=thread \
	$(if $(findstring clang,$(shell $(CC) --version)),,-Wno-tsan)
FLAGS_fuzz = $(TRAPS) -fsanitize=fuzzer-no-link,address,undefined
# The first build writes counts beside the objects; after the training the second one uses them.
PGO = $(if $(wildcard $(OBJS)/trained),-flto=auto -fprofile-use -fprofile-partial-training \
	-Wno-missing-profile,-fprofile-generate -fprofile-update=prefer-atomic)
FLAGS_pgo = $(FLAGS_plain) $(PGO)
LINK_plain = $(HARDEN_LD)
LINK_pgo = $(FLAGS_pgo) $(LINK_plain)
LINK_asan = -fsanitize=address,undefined
LINK_tsan = -fsanitize=thread
LINK_fuzz = -fsanitize=address,undefined
ifeq ($(KIND),fuzz)
override CC := clang
endif
ifeq ($(KIND)$(findstring clang,$(shell $(CC) --version)),pgoclang)
$(error make pgo needs gcc: ./configure --with-cc=gcc)
endif
COMPILE = $(CC) -std=gnu11 -g -pthread $(WARN) -Icore -Iobjs $(FLAGS_$(KIND)) $(CC_OPT)
LINK = $(CC) -pthread $(LINK_$(KIND))

# Two small files remember the flags and the list of objects: when they change, so does the build.

define remember
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(subst ','\'',$(1))' | cmp -s - $@ || echo '$(subst ','\'',$(1))' > $@
endef

$(OBJS)/flags: FORCE
	$(call remember,$(COMPILE))
$(OBJS)/objects: FORCE
	$(call remember,$(OBJ) $(LINK) $(LIBS) $(LD_OPT))

$(OBJS)/%.o: %.c $(OBJS)/flags
	$(Q)mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(OBJS)/modules.o: objs/modules.c $(OBJS)/flags
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(OBJS)/weir: $(OBJ) $(OBJS)/objects
	@echo '  LINK  $@'
	$(Q)$(LINK) -o $@ $(OBJ) $(LIBS) $(LD_OPT)

-include $(shell find $(OBJS) -name '*.d' 2>/dev/null)

# A unit test or fuzz driver t/unit/FOLDER_name.c is linked only with the folders that FOLDER may
# use (the ranks of HACKING.md), so that an upward call does not link. Tests of app and modules get
# all folders.

below_base := base
below_log := base log
below_os := $(below_log) os
below_event := $(below_os) event
below_config := $(below_os) config
below_dns := $(below_event) dns
below_relay := $(below_event) relay
below_exchange := $(below_relay) config exchange
below_datagram := $(below_exchange) datagram
below_text := $(below_exchange) text
below_tls := $(below_text) tls
below_listen := $(below_tls) datagram listen
below_link := $(below_listen) link
below_upstream := $(below_link) dns upstream
below_message := base message
below_stream := $(below_upstream) stream
below_nat := $(below_stream) nat
below_http := $(below_upstream) message http
below_http1 := $(below_http) http1
# A test of the core that needs a module, too.
and_http_directives = $(filter $(OBJS)/modules/http/location/%,$(OBJ))
# Tests whose two made-up layers listen and have variables.
fakes_listen := exchange_child exchange_log_conf text_template text_variables
no_modules := $(OBJS)/t/unit/lib/no_modules.o
all_but_main = $(filter-out $(OBJS)/core/app/main.o,$(OBJ))
folder_objs = $(filter $(OBJS)/core/$(1)/%,$(OBJ))
may_know = $(foreach f,$(below_$(1)),$(call folder_objs,$(f))) \
	$(if $(below_$(1)),$(no_modules),$(all_but_main))
objs_for = $(call may_know,$(if $(filter $(1),$(fakes_listen)),listen,$(firstword $(subst _, ,$(1))))) $(and_$(1))

UNITS := $(UNIT_SRC:%.c=$(OBJS)/%)
$(UNITS): $(OBJS)/t/unit/%: $(OBJS)/t/unit/%.o $$(call objs_for,$$*) $(OBJS)/objects
	@echo '  LINK  $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS) $(CHECK_LIBS) $(LD_OPT)

ifeq ($(KIND),fuzz)
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(OBJS)/t/fuzz/replay.o
endif

FUZZERS := $(FUZZ_SRC:%.c=$(OBJS)/%)
$(FUZZERS): $(OBJS)/t/fuzz/%: $(OBJS)/t/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) \
		$$(call objs_for,$$*) $(OBJS)/objects
	@echo '  LINK  $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(filter -%,$(FUZZ_MAIN)) $(LIBS) $(LD_OPT)

unit: $(UNITS)
	$(Q)failed=; for t in $^; do echo "  UNIT  $$t"; $$t || failed="$$failed $$t"; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

units: $(UNITS)
fuzzers: $(FUZZERS)

replay: $(FUZZERS)
	$(Q)for t in $^; do c=t/fuzz/corpus/$${t##*/}; test -d $$c || c=; $$t $$c || exit 1; done

# The same warnings from clang, which writes no objects.

CLANG_SRC := $(CORE_SRC) $(MODULE_SRC) $(UNIT_SRC) $(FUZZ_SRC) objs/modules.c

clang-check: $(CLANG_SRC:%.c=objs-clang/%.ok)
objs-clang/%.ok: %.c
	$(Q)mkdir -p $(@D)
	@echo '  CLANG $<'
	$(Q)clang -std=gnu11 -O2 -D_FORTIFY_SOURCE=2 $(WARN) -Werror -Icore -Iobjs -fsyntax-only \
	    -MMD -MP -MT $@ -MF $(@:.ok=.d) $<
	$(Q)touch $@
-include $(shell find objs-clang -name '*.d' 2>/dev/null)

# Installation: the program, its manual page, html/ and the configurations.

INSTALL_PATHS = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SBIN_PATH='$(SBIN_PATH)' LINK_PATH='$(LINK_PATH)' \
	CONF_PATH='$(CONF_PATH)' LOG_DIRS='$(LOG_DIRS)' MAN_PATH='$(MAN_PATH)'
install: $(OBJS)/weir $(OBJS)/weir.8
	$(Q)$(INSTALL_PATHS) auto/install put $^
uninstall:
	$(Q)$(INSTALL_PATHS) auto/install remove $(OBJS)/weir $(OBJS)/weir.8

$(OBJS)/weir.8: docs/weir.8 objs/config.mk
	$(Q)sed $(foreach v,PREFIX SBIN_PATH CONF_PATH ERROR_LOG HTTP_LOG PID_PATH USER,\
	    -e 's|@$v@|$($v)|g') docs/weir.8 > $@

endif
