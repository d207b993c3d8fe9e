"""The study of one stack: every producer over every route, then over one route with other states of the base image."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from harness.checkpoints.untrusted import Unreadable
from harness.host.facts import host_facts
from harness.host.process import HOST, Journal
from harness.images import refusals
from harness.images.engines import ENGINES, Engine, take
from harness.images.manifests import told
from harness.images.producers import Producer, Taken
from harness.images.restore import ImageRestore
from harness.images.routes import CARRIED, INDEX, REGISTRY, ROUTES, Route
from harness.images.stores import Store
from harness.model.cells import Participant, base_of
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, StillframeError
from harness.model.expectations import About, known
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Verdict
from harness.records.image_path import EXPECTED, Attempt, Base, ImageFacts, ImagePath, Step, StepRefusal
from harness.run import hindrances
from harness.run.options import Options
from harness.runtimes import adapter, versions
from harness.runtimes.contract import Checkpoint
from harness.stacks import build, definition, registry
from harness.stacks.node import Node
from harness.trial.bench import Bench
from harness.trial.stages import Stages
from harness.workload.programs import compile_all

BASE_ROUTES = (REGISTRY, "oci-archive")
"""Routes for the states of the base image: the first one that restores is used."""
RESTORES = (Step.RESTORE, Step.UNPACK)
BRING_SECONDS = 60.0
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Sent:
    """An image on its route."""

    producer: Producer
    route: Route
    commands: tuple[Command, ...] = ()
    looks: tuple[ImageFacts, ...] = ()
    ended: Attempt | None = None
    """The failed step, if the path ended early."""

    @property
    def key(self) -> tuple[str, str]:
        """Names of its producer and its route."""
        return self.producer.name, self.route.name


@dataclass
class Study:
    """One engine of one stack on two machines: one takes the checkpoint, the other restores it."""

    engine: Engine
    stack: str
    near: Bench
    far: Bench
    progress: Progress
    missing: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Failed probes, with their error messages."""
    components: dict[str, Component] = field(default_factory=dict)
    _arrivals: int = 0

    def paths(self) -> Iterator[ImagePath]:
        """Yield the paths of every producer's image, over every route and in every state of the base image."""
        probes = (each.probes for each in self.engine.producers), (each.probes for each in ROUTES)
        for probe in sorted(set(itertools.chain(*itertools.chain(*probes)))):
            self._probe(probe)
        if (registry.PROGRAM, "--version") not in self.missing:
            registry.start(self.near.node)
        base = self.engine.publish_base(self.near)
        self.progress(f"{self.stack}: {self.engine.runtime}: taking a checkpoint")
        taken = take(self.engine, self.near, base)
        sent = [each for producer in self.engine.producers for each in self._made(producer, taken)]
        self._carry()
        self.engine.provide_base(self.far, base, Base.PRESENT)
        restored: dict[tuple[str, str], Step] = {}
        for each in sent:
            path = self._received(each, taken, Base.PRESENT, RESTORES if each.producer.whole else (Step.UNPACK,))
            for tried in path.attempts:
                if tried.verdict.outcome is Outcome.CONSISTENT:
                    restored[each.key] = tried.step
            yield path
        for state, program in self.engine.bases.items():
            if (program, "--version") not in self.missing:
                for each in _chosen(sent, restored):
                    self.engine.provide_base(self.far, base, state)  # each time, because a pull brings the image back
                    yield self._received(each, taken, state, (restored[each.key],))

    def _probe(self, probe: tuple[str, ...]) -> None:
        try:
            said = self.near.node.run(probe)
        except CommandFailed as error:
            self.missing[probe] = error.stderr.strip().partition("\n")[0] or str(error)
        else:
            self.components[probe[0]] = Component(name=probe[0], version=versions.number(said.stdout))

    def _lacking(self, of: Producer | Route) -> str:
        return "; ".join(f"{' '.join(each)}: {self.missing[each]}" for each in of.probes if each in self.missing)

    def _made(self, producer: Producer, taken: Taken) -> Iterator[Sent]:
        """Make the image once, and send it on each route."""
        self.progress(f"{self.stack}: image of {producer.name}")
        routes = [route for route in ROUTES if producer.index or not route.index]
        if lacking := self._lacking(producer):
            yield from (Sent(producer, route, ended=_unsupported(Step.MAKE, lacking)) for route in routes)
            return
        store, journal = producer.store(self.near.node), Journal()
        self.near.node.journal = journal
        looks: list[ImageFacts] = []

        def make() -> None:
            producer.make(taken, producer.name)
            looks.append(store.look(producer.name))

        ended = _tried(Step.MAKE, make)
        done: dict[str, Sent] = {}
        for route in routes:
            sent = Sent(producer, route, (*taken.commands, *journal.commands), tuple(looks), ended)
            done[route.name] = sent if ended else self._put(sent, store, done)
            yield done[route.name]

    def _put(self, sent: Sent, store: Store, done: Mapping[str, Sent]) -> Sent:
        route = sent.route
        after = INDEX if sent.producer.index and route.after == REGISTRY else route.after
        before = done[after] if after else sent
        if before.ended:
            return replace(before, route=route)
        if lacking := self._lacking(route):
            return replace(sent, ended=_unsupported(Step.SEND, lacking))
        journal = self.near.node.journal = Journal()
        looks: list[ImageFacts | None] = []
        ended = _tried(Step.SEND, lambda: looks.append(route.send(store, sent.producer.name, after)))
        return replace(
            sent,
            commands=(*before.commands, *journal.commands),
            looks=(*before.looks, *filter(None, looks)),
            ended=ended,
        )

    def _carry(self) -> None:
        """Copy the registry's storage and the archives to the other machine; nothing else travels."""
        for folder in (registry.STORAGE, CARRIED):
            source, target = self.near.node.path(folder), self.far.node.path(folder)
            if source.exists():
                HOST.run(["cp", "--archive", str(source), str(target)], deadline=BRING_SECONDS)
        if registry.runs(self.near.node):
            registry.start(self.far.node)

    def _received(self, sent: Sent, taken: Taken, state: Base, steps: Sequence[Step]) -> ImagePath:
        """Receive the image in the store there, read it, restore it with one of `steps`, and remove it."""
        self.progress(f"{self.stack}: {sent.producer.name} over {sent.route.name}, base image {state}")
        if sent.ended:
            return self._path(sent, state, (sent.ended,))
        there, name = (self.far, self._next_name(sent)) if sent.route.travels else (self.near, sent.producer.name)
        arrived = Checkpoint(taken.container, f"{Node.storage}/checkpoints/{name}")
        store, journal = sent.producer.store(there.node), Journal()
        there.node.journal = journal
        looks: list[ImageFacts] = []

        def receive() -> None:
            there.node.run(["mkdir", "-p", arrived.folder])
            sent.route.receive(store, sent.producer.name, name)
            looks.append(store.look(name))

        ended = _tried(Step.RECEIVE, receive)
        attempts = (ended,) if ended else self._restored(there, store, arrived, taken=taken, state=state, steps=steps)
        with contextlib.suppress(StillframeError):
            if sent.route.travels:
                store.remove(name)
            there.node.remove(arrived.folder)
        path = self._path(sent, state, attempts)
        return path.model_copy(
            update={
                "looks": (*sent.looks, *looks) if sent.route.travels else sent.looks,
                "base_told": told(looks[-1], _facts(taken)) if looks else {},
                "commands": (*sent.commands, *journal.commands),
            }
        )

    def _path(self, sent: Sent, state: Base, attempts: tuple[Attempt, ...]) -> ImagePath:
        return ImagePath(
            stack=self.stack,
            producer=sent.producer.name,
            route=sent.route.name,
            base=state,
            looks=sent.looks,
            attempts=attempts,
            components=(*self.far.components, *self.components.values()),
            commands=sent.commands,
        )

    def _next_name(self, sent: Sent) -> str:
        self._arrivals += 1
        return f"{sent.producer.name}-{self._arrivals}"

    def _restored(
        self, there: Bench, store: Store, arrived: Checkpoint, *, taken: Taken, state: Base, steps: Sequence[Step]
    ) -> tuple[Attempt, ...]:
        """Restore the image directly; if that is declined, restore the archive in it."""
        attempts: list[Attempt] = []
        journal = there.node.journal
        for step, way in self.engine.ways.items():
            if step not in steps or (attempts and not attempts[-1].refusal):
                continue
            there.runtime = adapter(self.engine.runtime, way)(there.node)
            archive = f"{arrived.folder}/checkpoint.tar"
            ended = _tried(step, lambda: store.unpack(arrived.name, archive)) if step is Step.UNPACK else None  # noqa: B023
            if ended:
                return (*attempts, ended)
            restore = ImageRestore(taken, there, self.engine.policy)
            facts = refusals.FORMAT if state is Base.PRESENT else _facts(taken)
            attempts.append(restore.attempt(step, arrived, facts, look=state is Base.CHANGED))
            journal.commands += restore.stages.journal.commands
            there.node.journal = journal
        return tuple(attempts)


def _facts(taken: Taken) -> dict[str, str]:
    return refusals.facts_of_base(taken.base.name, digest=taken.base.digest, identity=taken.base.identity)


def _chosen(sent: Sequence[Sent], restored: Container[tuple[str, str]]) -> Iterator[Sent]:
    """Yield each producer's image on the first of `BASE_ROUTES` that restored."""
    by_key = {each.key: each for each in sent}
    for producer in dict.fromkeys(each.producer.name for each in sent):
        keys = ((producer, route) for route in BASE_ROUTES)
        yield from (by_key[key] for key in itertools.islice((key for key in keys if key in restored), 1))


def _unsupported(step: Step, evidence: str) -> Attempt:
    return Attempt(step=step, verdict=Verdict(outcome=Outcome.UNSUPPORTED, reason=evidence))


def _tried(step: Step, act: Callable[[], object]) -> Attempt | None:
    """Run `act`; return None on success. A refusal by a tool is its failure, any other error is ours."""
    declined: StepRefusal | None = None
    try:
        act()
    except (StillframeError, OSError, ValueError) as error:
        if isinstance(error, CommandFailed) and error.runtime:
            declined = refusals.refusal(error.stderr or str(error), refusals.FORMAT)
            verdict = refusals.verdict(declined)
        elif isinstance(error, DeadlineExceeded) and not error.ours:
            verdict = Verdict(outcome=Outcome.HUNG, reason=str(error))
        elif isinstance(error, Unreadable):
            verdict = Verdict(outcome=Outcome.RESTORE_FAILED, reason=str(error))
        else:
            verdict = Verdict(outcome=Outcome.HARNESS_ERROR, reason=f"{type(error).__name__}: {error}")
        return Attempt(step=step, verdict=verdict, refusal=declined)
    return None


def planned(stack: str) -> Iterator[ImagePath]:
    """Yield the paths that a study of a stack must give, each as `missing`."""
    missing = Attempt(step=Step.MAKE, verdict=Verdict(outcome=Outcome.MISSING, reason="planned, but has no result"))
    for engine in ENGINES:
        for producer, route in itertools.product(engine.producers, ROUTES):
            if producer.index or not route.index:
                yield ImagePath(stack=stack, producer=producer.name, route=route.name, attempts=(missing,))


def study(options: Options, stack: str, progress: Progress) -> Iterator[ImagePath]:
    """Study a stack, engine by engine; missing tools are `unsupported`. Raise `StackUnavailable`."""
    root = build.prepare(definition.load(stack), options.cache, mirror=options.mirror, progress=progress)
    hindrances.prove(stack, root, options.cgroups)
    binaries = compile_all(options.cache)
    owed = {path.id: path for path in planned(stack)}
    for engine in ENGINES:
        open_bench = partial(Bench.open, lower=root, binaries=binaries, settings=options.settings)
        try:
            for path in _studied(engine, stack, open_bench, progress):
                owed.pop(path.id, None)
                yield _expected(path, options)
        except StillframeError as error:  # the other engine has its own benches
            progress(f"{stack}: {engine.runtime}: {error}")
    for path in owed.values():
        yield _expected(path, options)


def every_image() -> Iterator[ImagePath]:
    """Yield all possible paths in every defined stack, in each state of the base image."""
    for path in itertools.chain.from_iterable(map(planned, definition.available())):
        yield from (path.model_copy(update={"base": state}) for state in Base)


def _expected(path: ImagePath, options: Options) -> ImagePath:
    own = path.model_copy(update={"stack": base_of(path.stack)})  # a variant has the known issues of its stack
    should_be = known(own, options.today, EXPECTED, About.IMAGES, conditions=host_facts().conditions)
    return path.model_copy(update={"expectation": should_be})


def _studied(
    engine: Engine, stack: str, open_bench: Callable[[tuple[Participant, str]], Bench], progress: Progress
) -> Iterator[ImagePath]:
    key = (Participant(runtime=engine.runtime, stack=stack), "")
    with contextlib.ExitStack() as benches:
        near = open_bench(key)
        benches.callback(near.close)
        if near.lacking:
            ended = _unsupported(Step.MAKE, "; ".join(one.evidence for one in near.lacking))
            own = {producer.name for producer in engine.producers}
            for path in planned(stack):
                if path.producer in own:
                    yield path.model_copy(update={"attempts": (ended,)})
            return
        far = open_bench(key)
        benches.callback(far.close)
        for bench in (near, far):
            bench.warm_up(Stages())
        yield from Study(engine, stack, near, far, progress).paths()
