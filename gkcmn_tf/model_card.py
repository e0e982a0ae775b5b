"""The model card of a preset."""

from collections.abc import Mapping
from typing import Any

from gkcmn_tf.i3d import published_weights


def model_card(config: Mapping[str, Any], features: Mapping[str, Any]) -> str:
    """The model card as Markdown, from the contents of `config.json` and `features.json`."""
    about = config["about"]
    lines = [f"# {about.get('name', config['class_name'])}", ""]
    if about.get("description"):
        lines += [about["description"], ""]
    lines += [
        "| | |",
        "|---|---|",
        f"| network | {config['class_name']}, {config['parameters']:,} parameters, "
        f"trained in {config['dtype']} |",
        f"| reads | at most {config['max_steps']} steps of a clip and {config['max_words']} words "
        "of a sentence |",
        f"| features | I3D `{features['endpoint']}`, weights `{features['i3d_source']}` (SHA-256 "
        f"`{features['i3d_sha256']}`), computed in {features['compute_dtype']} |",
    ]
    if features["i3d_sha256"] == published_weights.FINGERPRINT:
        lines.append(f"| I3D weights | {published_weights.TITLE}; {published_weights.LICENCES} |")
    for key, title in (("data", "trained on"), ("command", "made by"), ("date", "date")):
        if about.get(key):
            lines.append(f"| {title} | {about[key]} |")
    metrics = about.get("metrics") or {}
    if metrics:
        lines += [
            "",
            "## Metrics",
            "",
            f"{about.get('evaluated_on', 'Test split')}, in percent:",
            "",
            f"| {' | '.join(metrics)} |",
            f"|{'---:|' * len(metrics)}",
            f"| {' | '.join(f'{100 * value:.2f}' for value in metrics.values())} |",
        ]
    if about.get("limits"):
        lines += ["", "## Limits", "", about["limits"]]
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "import gkcmn_tf",
        "",
        'grounder = gkcmn_tf.VideoGrounder.from_preset("FOLDER")',
        'tube = grounder.ground("clip.mp4", "the red square moves left")',
        "```",
    ]
    return "\n".join(lines) + "\n"
