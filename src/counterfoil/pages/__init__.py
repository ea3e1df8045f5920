"""What the pages of Studio and the checkout share: templates, languages, files, forms."""
