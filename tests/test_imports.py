"""Importing the package changes no setting of the process.

The modules are imported in a new process. Libraries that the package uses are imported before the
first snapshot, because some of them change such settings themselves.
"""

import subprocess
import sys

SNAPSHOTS = """
import importlib, logging, os, pkgutil, signal, socket, sys, warnings

LIBRARIES = [
    "cv2", "gradio", "kagglehub.clients", "kedro.framework.cli", "kedro.framework.hooks",
    "kedro.framework.project", "kedro.io", "kedro.pipeline", "kedro_datasets._typing",
    "matplotlib.pyplot", "numpy", "pandas", "PIL.Image", "requests", "scipy.stats",
    "sklearn.discriminant_analysis", "torch.distributed.launcher.api", "torchvision",
]
LOGGERS = (None, "kagglehub", "kedro", "matplotlib", "PIL")
for name in LIBRARIES:
    importlib.import_module(name)

import cv2, kagglehub, matplotlib, numpy, PIL.Image, torch


def logger_state(name):
    logger = logging.getLogger(name)
    return (logger.level, logger.propagate, [repr(handler) for handler in logger.handlers])


def snapshot():
    return {
        "Pillow": (PIL.Image.MAX_IMAGE_PIXELS, len(PIL.Image.OPEN)),
        "warnings": (warnings.filters.copy(), warnings.showwarning),
        "loggers": [logger_state(name) for name in LOGGERS],
        "logging": (logging.lastResort, logging.getLoggerClass(), logging.root.manager.disable),
        "cuDNN": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "torch": (torch.get_num_threads(), torch.get_num_interop_threads(), torch.initial_seed()),
        "OpenCV": (cv2.getNumThreads(), cv2.useOptimized()),
        "dtype": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy": (numpy.geterr(), numpy.get_printoptions()),
        "matplotlib": dict(matplotlib.rcParams),
        "kagglehub": {**vars(kagglehub.clients), "__builtins__": None},
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "socket": socket.getdefaulttimeout(),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
    }


before = snapshot()
import skin_lesions

modules = [m.name for m in pkgutil.walk_packages(skin_lesions.__path__, "skin_lesions.")]
for name in modules:
    importlib.import_module(name)
after = snapshot()
assert len(modules) > 80, modules
changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
assert not changed, changed
"""


def test_importing_all_modules_changes_no_setting_of_the_process():
    process = subprocess.run(
        [sys.executable, "-c", SNAPSHOTS], capture_output=True, text=True, check=False, timeout=300
    )
    assert process.returncode == 0, process.stderr
