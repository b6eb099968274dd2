"""The browser of the system, screens, and measurements in a page."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# Contrast of the text color and the background of an element, as WCAG 2.2 defines it.
CONTRAST = """
element => {
  const luminance = color => {
    const rgb = color.match(/[\\d.]+/g).slice(0, 3).map(value => {
      const channel = value / 255;
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
  };
  let ground = element;
  while (/rgba\\(.*, 0\\)/.test(getComputedStyle(ground).backgroundColor) && ground.parentElement) {
    ground = ground.parentElement;
  }
  const pair = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
  const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
"""
