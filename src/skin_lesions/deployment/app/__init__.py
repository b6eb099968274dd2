"""Web page that shows the predictions of a model bundle for uploaded images, on this computer only.

``analysis`` computes what the page shows, ``rendering`` makes HTML of it, ``page`` has the layout,
and ``server`` starts it. Only ``page`` and ``server`` import Gradio (extra ``app``).
"""
