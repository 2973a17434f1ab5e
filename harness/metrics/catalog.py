"""The metrics there are, and how a scene gets its scores.

To add one: a module beside this file with a function (reference, estimate) -> float and an
`ItemMetric` around it (or a `MetricFamily`), one line here, a closed-form test. From another
package: an entry point of the group `sepbench.metrics` that names a `MetricFamily`, or a plain
function with its `MetricCard` as attribute `card`.

Reading cards imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sepbench.harness.api import Framewise, MetricCard, Undefined, Value
from sepbench.harness.errors import PluginError
from sepbench.harness.metrics.contract import ItemMetric, MetricFamily, ScoredScene, as_value
from sepbench.harness.registry import Registry

# Ids of one family are computed together when any of them is asked for.
CATALOG = {
    "sdr": "sepbench.harness.metrics.waveform:SDR",
    "si_sdr": "sepbench.harness.metrics.waveform:SI_SDR",
    "bss_sdr": "sepbench.harness.metrics.bss_sources:BSS_SOURCES",
    "bss_sir": "sepbench.harness.metrics.bss_sources:BSS_SOURCES",
    "bss_sar": "sepbench.harness.metrics.bss_sources:BSS_SOURCES",
    "bss_v4_sdr": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_v4_isr": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_v4_sir": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_v4_sar": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_v4_pair_sdr": "sepbench.harness.metrics.bss_images:BSS_IMAGE_PAIRS",
    "bss_v4_pair_isr": "sepbench.harness.metrics.bss_images:BSS_IMAGE_PAIRS",
    "bss_v4_pair_sir": "sepbench.harness.metrics.bss_images:BSS_IMAGE_PAIRS",
    "bss_v4_pair_sar": "sepbench.harness.metrics.bss_images:BSS_IMAGE_PAIRS",
    "bss_image_sdr": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_image_isr": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_image_sir": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "bss_image_sar": "sepbench.harness.metrics.bss_images:BSS_IMAGES",
    "si_sdr_zm": "sepbench.harness.metrics.zero_mean:SI_SDR_ZM",
    "audiosep_sdr": "sepbench.harness.metrics.published:AUDIOSEP_SDR",
    "audiosep_si_sdr": "sepbench.harness.metrics.published:AUDIOSEP_SI_SDR",
    "stsed_segment_sdr": "sepbench.harness.metrics.segments:STSED_SEGMENT_SDR",
    "uss_segment_sdr": "sepbench.harness.metrics.segments:USS_SEGMENT_SDR",
    "sa_sdr": "sepbench.harness.metrics.whole_scene:SA_SDR",
    "suppression": "sepbench.harness.metrics.whole_scene:SUPPRESSION",
    "pesq_wb": "sepbench.harness.metrics.speech:SPEECH",
    "pesq_nb": "sepbench.harness.metrics.speech:SPEECH",
    "stoi": "sepbench.harness.metrics.speech:SPEECH",
    "estoi": "sepbench.harness.metrics.speech:SPEECH",
    "ssnr": "sepbench.harness.metrics.speech:SPEECH",
    "llr": "sepbench.harness.metrics.speech:SPEECH",
    "wss": "sepbench.harness.metrics.speech:SPEECH",
    "csig": "sepbench.harness.metrics.speech:SPEECH",
    "cbak": "sepbench.harness.metrics.speech:SPEECH",
    "covl": "sepbench.harness.metrics.speech:SPEECH",
    # Made where the encoder can be handed over; a name only, nothing is imported from here.
    "clapscore": "sepbench.harness.run.clapscore:CLAP_SCORE",
    "clapscore_audio": "sepbench.harness.run.clapscore:CLAP_SCORE",
    "squim_stoi": "sepbench.harness.metrics.squim:SQUIM",
    "squim_pesq": "sepbench.harness.metrics.squim:SQUIM",
    "squim_si_sdr": "sepbench.harness.metrics.squim:SQUIM",
}

METRICS = Registry("metric", CATALOG, "sepbench.metrics")


def family_of(metric_id: str) -> MetricFamily:
    """The family that computes a metric.

    Raises:
        UnknownNameError, DuplicateNameError: no such metric, or two packages claim it.
        PluginError: it cannot be imported, is neither a family nor a function with a card, or
            its card has another id than its name.
    """
    found = METRICS.load(metric_id)
    family: MetricFamily
    if isinstance(found, MetricFamily) and not isinstance(found, type):
        family = found
    elif callable(found) and isinstance(getattr(found, "card", None), MetricCard):
        family = ItemMetric(card=found.card, function=found)
    else:
        raise PluginError(
            f"The metric '{metric_id}' points to {METRICS.entry(metric_id).target}, which is "
            "neither a MetricFamily nor a function with a MetricCard as attribute 'card'."
        )
    ids = [card.metric_id for card in family.cards]
    if metric_id not in ids:
        raise PluginError(
            f"The metric '{metric_id}' computes {', '.join(ids) or 'nothing'}: the id on its card "
            "must be the name it is registered under."
        )
    return family


def card_of(metric_id: str) -> MetricCard:
    """The card of a metric; raises as `family_of`."""
    return next(card for card in family_of(metric_id).cards if card.metric_id == metric_id)


def score_scene(scene: ScoredScene, metric_ids: Iterable[str]) -> list[dict[str, Value]]:
    """Every wanted metric of every item of a scene.

    Args:
        scene: signals of one scene.
        metric_ids: names in `METRICS`; ids of one family are computed in one call.

    Returns:
        One mapping per item, in the order of `scene.items`, with all ids in the order asked for.
        A value is a float that is not NaN (Framewise where the metric works in windows), or
        Undefined with its cause and reason.

    Raises:
        PluginError: a family left out an item or an id.
        Exception: whatever else a metric raises.
    """
    wanted = list(dict.fromkeys(metric_ids))
    families: list[tuple[MetricFamily, list[str]]] = []
    for metric_id in wanted:
        family = family_of(metric_id)
        ids = next((ids for known, ids in families if known is family), None)
        if ids is None:
            families.append((family, [metric_id]))
        else:
            ids.append(metric_id)

    found: list[dict[str, Value]] = [{} for _ in scene.items]
    for family, ids in families:
        rows = family.score(scene, frozenset(ids))
        _require_complete(rows, ids, len(scene.items))
        for values, row in zip(found, rows, strict=True):
            for metric_id in ids:
                value = row[metric_id]
                if not isinstance(value, Undefined | Framewise):
                    value = as_value(value)
                values[metric_id] = value
    return [{metric_id: values[metric_id] for metric_id in wanted} for values in found]


def _require_complete(
    rows: Sequence[Mapping[str, Value]], ids: Sequence[str], num_items: int
) -> None:
    """Refuse an answer that does not hold every id for every item."""
    if len(rows) != num_items or any(metric_id not in row for row in rows for metric_id in ids):
        raise PluginError(
            f"The metric family of {', '.join(ids)} gave no value for some of the {num_items} "
            "items of a scene; it must give every wanted id for every item."
        )
