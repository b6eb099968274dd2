"""Layout and events of the web page, with Gradio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import gradio as gr

from skin_lesions.deployment.app import rendering
from skin_lesions.deployment.app.analysis import MAX_FILE_BYTES, Analyzer, Result
from skin_lesions.deployment.app.metadata_form import metadata_fields, metadata_row
from skin_lesions.deployment.app.uploads import take_uploads

_TITLE = "Skin image classifier"
# Uploads that were never analyzed, because the browser was closed: seconds between two searches for
# them, and their age.
_DELETE_CACHE = (60, 600)
# Fonts of the system: the default fonts of Gradio could be downloaded.
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_MONOSPACE = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
_TEXTS = {
    "upload_text.drop_file": "Drop images here",
    "upload_text.click_to_upload": "click to select them",
}
# The results are replaced after each upload, so the listener belongs to the element around them.
_OPACITY_SCRIPT = """
element.addEventListener('input', event => {
  if (!event.target.matches('.opacity input')) return;
  const figure = event.target.closest('figure');
  figure.style.setProperty('--opacity', event.target.value / 100);
  figure.querySelector('output').textContent = event.target.value + '\\u00a0%';
});
"""


class LaunchOptions(TypedDict):
    """Options of ``gradio.Blocks.launch`` that determine the look of the page."""

    theme: gr.themes.Base
    head: str
    i18n: gr.I18n
    footer_links: list


def build_page(analyzer: Analyzer, folder: Path) -> gr.Blocks:
    """Build the page.

    Args:
        analyzer: Analyzes the images.
        folder: Temporary folder in which Gradio saves uploads.
    """

    def add(
        uploads: Sequence[Mapping[str, object]] | None, earlier: list[Result], *values: object
    ) -> tuple[None, list[Result], str, gr.Button]:
        taken = take_uploads(uploads or [], folder, MAX_FILE_BYTES)
        results = analyzer.add(taken, earlier, metadata_row(analyzer.description, values))
        html = rendering.render_results(results, analyzer)
        return None, results, html, gr.Button(visible=True)

    def remove_all() -> tuple[list[Result], str, gr.Button]:
        return [], "", gr.Button(visible=False)

    with gr.Blocks(analytics_enabled=False, title=_TITLE, delete_cache=_DELETE_CACHE) as page:
        earlier = gr.State([])
        _static_html(rendering.render_header(analyzer.description))
        fields = metadata_fields(analyzer.description)
        upload = gr.File(file_count="multiple", show_label=False, height=150, elem_id="upload")
        _static_html(rendering.render_limits())
        results = gr.HTML(apply_default_css=False, js_on_load=_OPACITY_SCRIPT, elem_id="results")
        remove = gr.Button("Remove all images", visible=False, size="sm", elem_id="remove")
        # Without preprocessing, Gradio makes no copies of the files.
        upload.upload(
            add,
            [upload, earlier, *fields],
            [upload, earlier, results, remove],
            preprocess=False,
            api_visibility="private",
        )
        remove.click(remove_all, None, [earlier, results, remove], api_visibility="private")
    return page


def _static_html(content: str) -> None:
    gr.HTML(content, apply_default_css=False, js_on_load=None)


def launch_options() -> LaunchOptions:
    """Return theme, style and texts, without links in the footer."""
    theme = gr.themes.Base(
        primary_hue="sky", neutral_hue="slate", font=_FONTS, font_mono=_MONOSPACE
    )
    return {
        "theme": theme,
        # Not the option css: Gradio would rewrite its selectors.
        "head": f"<style>{rendering.style()}</style>",
        "i18n": gr.I18n(en=_TEXTS),
        "footer_links": [],
    }
