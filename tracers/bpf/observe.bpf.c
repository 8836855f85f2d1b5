// SPDX-License-Identifier: GPL-2.0-only
/* What the eBPF tracer has in the kernel: it watches the tasks that carry its mark (task storage, inherited by their
   children) at the raw system call tracepoints and writes one record for each finished call.

   A call is "simple" (one path, changes no name: read here) or "gated" (a seccomp filter made it wait for sbx, which
   has read it already: only its result is sent). Paths of directories and opened files are walked from their dentries,
   as d_path() may not be called from a tracepoint. Kernel structures are declared with the members that are used;
   libbpf relocates them (CO-RE). */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define RELOCATED __attribute__((preserve_access_index))
struct qstr { const unsigned char *name; } RELOCATED;
struct super_block { unsigned long s_magic; } RELOCATED;
struct hlist_bl_node { struct hlist_bl_node **pprev; } RELOCATED;
struct dentry { struct dentry *d_parent; struct qstr d_name; struct super_block *d_sb; struct hlist_bl_node d_hash; } RELOCATED;
struct vfsmount { struct dentry *mnt_root; } RELOCATED;
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; } RELOCATED;
struct path { struct vfsmount *mnt; struct dentry *dentry; } RELOCATED;
struct file { struct path f_path; } RELOCATED;
struct fdtable { unsigned int max_fds; struct file **fd; } RELOCATED;
struct files_struct { struct fdtable *fdt; } RELOCATED;
struct fs_struct { struct path root, pwd; } RELOCATED;
struct upid { int nr; } RELOCATED;
struct pid { unsigned int level; struct upid numbers[1]; } RELOCATED;
struct ns_common { unsigned int inum; } RELOCATED;
struct mnt_namespace { struct ns_common ns; } RELOCATED;
struct nsproxy { struct mnt_namespace *mnt_ns; } RELOCATED;
struct sigset { unsigned long sig[1]; } RELOCATED;
struct sigpending { struct sigset signal; } RELOCATED;
struct thread_info { __u32 status; } RELOCATED;
struct task_struct {
	struct thread_info thread_info;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct sigpending pending;
} RELOCATED;
struct linux_binprm { struct file *file; const char *filename; } RELOCATED;
struct pt_regs { unsigned long di, si, dx, r10, r8, r9; } RELOCATED;

enum { PATH_MAX = 4096, NAME_MAX = 255, BASE_MAX = 3584, DEPTH_MAX = PATH_MAX / 2, CALLS = 512 };
enum { AT_FDCWD = -100, O_CREAT = 0100, AT_EMPTY_PATH = 0x1000, TS_COMPAT = 2, EINTR_ = 4, EFAULT_ = 14, SIGKILL = 9 };
enum { PIPEFS = 0x50495045, SOCKFS = 0x534f434b, ANON_INODE_FS = 0x09041934, NSFS = 0x6e736673 };

/* The layout of records is that of tracers/ebpf_records.py. */
enum { CALL = 1, RESULT, FORK, EXEC, EXIT };
enum { HAS_BASE = 1, HAS_OPENED = 2, BASE_DELETED = 4, OPENED_DELETED = 8, CUT = 16, UNREAD = 32, NO_POINTER = 64, OF_PROCESS = 128 };
enum { SKIP, SIMPLE, GATED };

struct header {
	__u32 tid;
	__u32 kind;
	__s64 result;
	__u64 pointer; /* of the path; FORK: the child's mount namespace */
	/* From here on records of calls that mean the same are equal. */
	__u16 call;
	__u16 path, base, opened; /* sizes of what follows */
	__u32 flags;
	__s32 outcome; /* 0 or -errno */
	__u64 number; /* the argument that matters; FORK: the child's tid << 32 | tgid; EXEC: the former tid */
	__u64 digest; /* of all this and of the program: under it sbx may say that it knows the call */
};

struct call { __u8 kind; __s8 path, dirfd, number; __u8 opens; };

struct task {
	__u32 tid, tgid;
	__u32 now; /* SKIP, SIMPLE or GATED while it is inside of a call */
	__u32 opens;
	__u64 program; /* the same for tasks that came to run the same thing by the same way */
	struct header head;
	char path[PATH_MAX + 8]; /* one more than a path may have tells which is too long */
	char base[BASE_MAX + 8];
};

_Static_assert(sizeof(struct header) == 56 && sizeof(struct task) == 7776, "tracers/ebpf_records.py has the same");

struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, struct task); } tasks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 24); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, CALLS); __type(key, __u32); __type(value, struct call); } calls SEC(".maps");
struct counts { __u64 repeated, dropped, control_dropped; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct counts); } counters SEC(".maps");
/* Digests of calls that would say nothing new; sbx changes the seed when names change, which makes all of them strange. */
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 1 << 15); __type(key, __u64); __type(value, __u8); } known SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } seed SEC(".maps");

struct walk {
	struct dentry *dentry;
	struct vfsmount *mount;
	__u64 at; /* here and not on the stack, where the verifier would follow each value that it can have */
	__u32 cut;
	char text[PATH_MAX + NAME_MAX + 1];
};
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct walk); } scratch SEC(".maps");

static bool armed;
static unsigned int level;
static struct vfsmount *root_mount;
static struct dentry *root_dentry;

static struct walk *walker(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

static long step(__u32 index, void *unused)
{
	struct walk *w = walker();
	if (!w)
		return 1;
	struct dentry *dentry = w->dentry, *parent;
	struct vfsmount *mount = w->mount;
	if (dentry == root_dentry && mount == root_mount)
		return 1;
	if (dentry == BPF_CORE_READ(mount, mnt_root)) {
		struct mount *m = (void *)mount - bpf_core_field_offset(struct mount, mnt), *up = BPF_CORE_READ(m, mnt_parent);
		if (m == up)
			return 1;
		w->dentry = BPF_CORE_READ(m, mnt_mountpoint);
		w->mount = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry)
		return 1;
	__u64 at = w->at;
	long size = at < PATH_MAX ? bpf_probe_read_kernel_str(w->text + at, NAME_MAX + 1, BPF_CORE_READ(dentry, d_name.name)) : -1;
	if (size < 0) {
		w->cut = CUT;
		return 1;
	}
	w->at = at + size;
	w->dentry = parent;
	return 0;
}

/* Names from the leaf up, each with its NUL, into the scratch space: their size. What has no path is one byte, 1-4. */
static __u64 name(const struct path *where, __u32 *flags, __u32 deleted)
{
	struct dentry *dentry = BPF_CORE_READ(where, dentry);
	struct walk *w = walker();
	if (!w || !dentry)
		return 0;
	unsigned long magic = BPF_CORE_READ(dentry, d_sb, s_magic);
	char kind = magic == PIPEFS ? 1 : magic == SOCKFS ? 2 : magic == ANON_INODE_FS ? 3 : magic == NSFS ? 4 : 0;
	if (kind) {
		w->text[0] = kind;
		return 1;
	}
	struct vfsmount *mount = w->mount = BPF_CORE_READ(where, mnt);
	if (BPF_CORE_READ(dentry, d_parent) == dentry) {
		if (dentry != BPF_CORE_READ(mount, mnt_root)) { /* in no directory at all: a memfd */
			long size = bpf_probe_read_kernel_str(w->text, NAME_MAX + 1, BPF_CORE_READ(dentry, d_name.name));
			*flags |= deleted;
			return size > 0 ? size : 0;
		}
	} else if (!BPF_CORE_READ(dentry, d_hash.pprev)) {
		*flags |= deleted;
	}
	w->dentry = dentry;
	w->at = 0;
	w->cut = 0;
	bpf_loop(DEPTH_MAX, step, 0, 0);
	*flags |= w->cut;
	return w->at;
}

static struct file *file_of(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;
	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof file, files + fd);
	return file;
}

static struct task *tracked(struct task_struct *task)
{
	return bpf_task_storage_get(&tasks, task, 0, 0);
}

static __u32 number_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 nr = 0;
	if (pid)
		bpf_core_read(&nr, sizeof nr, (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			(level & 31) * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return nr;
}

enum count { REPEATED, DROPPED, CONTROL_DROPPED };

static void count(enum count which)
{
	__u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&counters, &zero);
	if (!c)
		return;
	if (which == REPEATED)
		c->repeated++;
	else if (which == DROPPED)
		c->dropped++;
	else
		c->control_dropped++;
}

struct mixing { char *text; __u64 state; };

static __u64 mixed(__u64 state, __u64 word)
{
	state = (state ^ word) * 0x9e3779b97f4a7c15; /* 2^64 by the golden ratio */
	return state ^ state >> 29;
}

static long mix_word(__u64 index, struct mixing *m)
{
	if (index >= BASE_MAX / 8)
		return 1;
	m->state = mixed(m->state, *(__u64 *)(m->text + index * 8));
	return 0;
}

/* Mixes SIZE bytes into STATE; the eight behind them are overwritten. */
static __u64 mix(__u64 state, char *text, __u64 size)
{
	if (size > BASE_MAX)
		return mixed(state, bpf_ktime_get_ns()); /* so long a one is like no other */
	*(__u64 *)(text + size) = 0;
	struct mixing m = {text, mixed(state, size)};
	bpf_loop((size + 7) / 8, mix_word, &m, 0);
	return m.state;
}

static void control(struct header *head)
{
	if (bpf_ringbuf_output(&ring, head, sizeof *head, BPF_RB_NO_WAKEUP))
		count(CONTROL_DROPPED);
}

/* Its size with the NUL; negative if it cannot be read or is longer than any path. */
static long read_path(struct task *t, const void *pointer)
{
	long size = bpf_probe_read_user_str(t->path, PATH_MAX + 1, pointer);
	return size > PATH_MAX ? -1 : size;
}

#define STARTS(text, prefix) starts(text, prefix, sizeof prefix - 1)
static __always_inline bool starts(const char *text, const char *prefix, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (text[i] != prefix[i])
			return false;
	return true;
}

static __always_inline int own_descriptor(const char *text)
{
	int fd = 0;
#pragma unroll
	for (int i = 0; i < 7; i++) {
		if (text[i] == '/')
			return i ? fd : -1;
		if (text[i] < '0' || text[i] > '9')
			return -1;
		fd = fd * 10 + text[i] - '0';
	}
	return -1;
}

static __always_inline int own_name(const char *text)
{
	return STARTS(text, "cwd/") ? AT_FDCWD : STARTS(text, "fd/") ? own_descriptor(text + 3) : -1;
}

/* Where a path through /proc/self/cwd or /proc/self/fd/N starts: the descriptor, AT_FDCWD, or -1 for another path. When
   sbx reads of it, the process may be gone. */
static int own_link(const char *path)
{
	if (STARTS(path, "/proc/self/"))
		return own_name(path + 11);
	return STARTS(path, "/proc/thread-self/") ? own_name(path + 18) : -1;
}

static bool being_killed(struct task_struct *task)
{
	return BPF_CORE_READ(task, pending.signal.sig[0]) & 1UL << (SIGKILL - 1);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long number)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct task *t = tracked(task);
	if (!t)
		return 0;
	if (!armed) { /* the launcher: its root and its process namespace are ours */
		armed = true;
		level = BPF_CORE_READ(task, thread_pid, level);
		root_mount = BPF_CORE_READ(task, fs, root.mnt);
		root_dentry = BPF_CORE_READ(task, fs, root.dentry);
	}
	t->now = SKIP;
	t->opens = 0;
	if (number < 0 || number >= CALLS || BPF_CORE_READ(task, thread_info.status) & TS_COMPAT) {
		t->now = GATED;
		return 0;
	}
	__u32 key = number;
	struct call *call = bpf_map_lookup_elem(&calls, &key);
	if (!call || call->kind == SKIP)
		return 0;
	unsigned long args[8] = {BPF_CORE_READ(regs, di), BPF_CORE_READ(regs, si), BPF_CORE_READ(regs, dx),
				 BPF_CORE_READ(regs, r10), BPF_CORE_READ(regs, r8), BPF_CORE_READ(regs, r9)};
	struct header *h = &t->head;
	h->number = call->number >= 0 ? args[call->number & 7] : 0;
	t->opens = call->opens;
	if (call->kind == GATED || (call->opens && h->number & O_CREAT)) {
		t->now = GATED;
		return 0;
	}
	const void *pointer = (const void *)args[call->path & 7];
	h->call = number;
	h->pointer = (unsigned long)pointer;
	h->base = 0;
	__u32 flags = 0;
	long size = pointer ? read_path(t, pointer) : 0;
	if (!pointer)
		flags |= NO_POINTER;
	else if (size < 0)
		flags |= UNREAD; /* perhaps on a page that is not there yet: the call itself will bring it */
	else if (size == 1 && h->number & AT_EMPTY_PATH)
		return 0;
	h->path = size > 0 ? size : 0;
	int link = size > 0 && t->path[0] == '/' ? own_link(t->path) : -1;
	if (link != -1)
		flags |= OF_PROCESS;
	if (pointer && (size < 0 || t->path[0] != '/' || link != -1)) {
		__u32 fd = link != -1 ? link : call->dirfd >= 0 ? args[call->dirfd & 7] : AT_FDCWD;
		struct walk *w = walker();
		const struct path *where = 0;
		if (fd == (__u32)AT_FDCWD) {
			where = (void *)BPF_CORE_READ(task, fs) + bpf_core_field_offset(struct fs_struct, pwd);
		} else {
			struct file *file = file_of(task, fd);
			if (file)
				where = (void *)file + bpf_core_field_offset(struct file, f_path);
		}
		if (where && w) {
			__u64 used = name(where, &flags, BASE_DELETED);
			flags |= HAS_BASE;
			if (used <= BASE_MAX) {
				bpf_probe_read_kernel(t->base, used, w->text);
				h->base = used;
			} else {
				flags |= CUT;
			}
		}
	}
	h->flags = flags;
	t->now = SIMPLE;
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(left, struct pt_regs *regs, long result)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct task *t = tracked(task);
	if (!t || t->now == SKIP)
		return 0;
	if ((result == -EINTR_ || (result <= -512 && result >= -516)) && being_killed(task))
		return 0; /* nobody will see this outcome: the call stays unfinished */
	struct header *h = &t->head;
	__u32 now = t->now, flags = now == SIMPLE ? h->flags : 0;
	__u64 opened = 0, path = 0, base = 0;
	struct walk *w = walker();
	t->now = SKIP;
	if (t->opens && result >= 0 && w) {
		struct file *file = file_of(task, result);
		if (file) {
			opened = name((void *)file + bpf_core_field_offset(struct file, f_path), &flags, OPENED_DELETED);
			flags |= HAS_OPENED;
		}
	}
	if (now == SIMPLE) {
		if (flags & UNREAD && result != -EFAULT_) {
			long size = read_path(t, (const void *)h->pointer);
			if (size > 0) {
				h->path = size;
				flags &= ~UNREAD;
			}
		}
		path = h->path;
		base = h->base;
	}
	h->kind = now == SIMPLE ? CALL : RESULT;
	h->tid = t->tid;
	h->result = result;
	h->outcome = result < 0 ? result : 0;
	h->flags = flags;
	h->path = path;
	h->base = base;
	h->opened = opened;
	if (path > PATH_MAX || base > BASE_MAX || opened > PATH_MAX)
		return 0; /* never; said for the verifier */
	if (now == SIMPLE && w) {
		__u32 zero = 0;
		__u64 *start = bpf_map_lookup_elem(&seed, &zero);
		__u64 d = mixed(t->program, start ? *start : 0);
		d = mixed(d, (__u64)h->call << 32 | flags);
		d = mixed(mixed(d, h->number), h->outcome);
		d = mix(d, t->path, path);
		d = mix(d, t->base, base);
		d = mix(d, w->text, opened);
		h->digest = d;
		if (bpf_map_lookup_elem(&known, &d)) {
			count(REPEATED);
			return 0;
		}
		if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > (1 << 24) - (1 << 21)) {
			count(DROPPED); /* the rest is for what must not be lost */
			return 0;
		}
	}
	struct bpf_dynptr out;
	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof *h + path + base + opened, 0, &out)) {
		count(now == GATED ? CONTROL_DROPPED : DROPPED);
	} else {
		bpf_dynptr_write(&out, 0, h, sizeof *h, 0);
		if (path)
			bpf_dynptr_write(&out, sizeof *h, t->path, path, 0);
		if (base)
			bpf_dynptr_write(&out, sizeof *h + path, t->base, base, 0);
		if (opened && w)
			bpf_dynptr_write(&out, sizeof *h + path + base, w->text, opened, 0);
	}
	bpf_ringbuf_submit_dynptr(&out, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct task *t = tracked(parent), *c;
	if (!t)
		return 0;
	c = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!c) {
		count(CONTROL_DROPPED);
		return 0;
	}
	c->tid = number_of(child);
	c->tgid = number_of(BPF_CORE_READ(child, group_leader));
	c->now = SKIP;
	__u32 mounts = BPF_CORE_READ(child, nsproxy, mnt_ns, ns.inum);
	/* Under other mounts an equal path is another file. */
	c->program = mounts == BPF_CORE_READ(parent, nsproxy, mnt_ns, ns.inum) ? t->program : mixed(t->program, mounts);
	struct header head = {.kind = FORK, .tid = t->tid, .number = (__u64)c->tid << 32 | c->tgid,
			      .pointer = mounts};
	control(&head);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, int old, struct linux_binprm *binary)
{
	struct task *t = tracked(task);
	__u32 flags = HAS_OPENED;
	__u64 opened;
	struct walk *w = walker();
	if (!t || !w)
		return 0;
	struct header head = {.kind = EXEC, .tid = t->tgid, .number = t->tid};
	t->tid = t->tgid;
	opened = name((void *)BPF_CORE_READ(binary, file) + bpf_core_field_offset(struct file, f_path), &flags, OPENED_DELETED);
	if (opened > PATH_MAX)
		return 0;
	head.flags = flags;
	head.opened = opened;
	/* What was exec'd by which name; a relative one may mean anything, so that each of them is a program of its own. */
	long size = bpf_probe_read_kernel_str(t->path, PATH_MAX, BPF_CORE_READ(binary, filename));
	t->program = mix(t->program, w->text, opened);
	t->program = size > 0 && t->path[0] == '/' ? mix(t->program, t->path, size) : mixed(t->program, bpf_ktime_get_ns());
	struct bpf_dynptr out;
	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof head + opened, 0, &out)) {
		count(CONTROL_DROPPED);
	} else {
		bpf_dynptr_write(&out, 0, &head, sizeof head, 0);
		if (opened)
			bpf_dynptr_write(&out, sizeof head, w->text, opened, 0);
	}
	bpf_ringbuf_submit_dynptr(&out, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exited, struct task_struct *task)
{
	struct task *t = tracked(task);
	if (t) {
		struct header head = {.kind = EXIT, .tid = t->tid, .number = t->now != SKIP};
		control(&head);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
