package formats

import (
	"regexp"
	"slices"
	"strings"

	"github.com/trirank/trirank/internal/table"
)

// preset is a program whose exports name fields in a way of their own. It is
// recognised by the names of fields.
type preset struct {
	name string
	// all of these have to be there, and one of any, as table.Fold has them; a+b is both.
	all, any []string
	// names of a product's fields, before the usual ones.
	names map[string][]string
	// path parts the text of a category, if not as usual.
	path func(string) []string
	// group is the column by which rows that follow each other are one product, unless
	// the user says that another is the id; columns that begin with one of variant are
	// those that its rows differ in.
	group   string
	variant []string
	// again is the column that rows of a group but the first have, if not every row
	// that follows is of the group.
	again string
	// expand adds cells that are hidden in others.
	expand func([]cell) []cell
	// cents says that prices are in hundredths where all of them are whole
	// numbers, and currency what they are in if nothing says it.
	cents    bool
	currency string
}

// presets are tried in this order.
var presets = []*preset{
	{
		name: "Shopify", all: []string{"handle", "title"}, any: []string{"body(html)", "vendor", "variantprice", "variantsku"}, group: "handle", variant: []string{"variant", "option", "costperitem", "price/", "comparedatprice/"},
		names: map[string][]string{"id": {"handle"}, "description": {"body(html)"}, "brand": {"vendor"}, "category": {"productcategory", "type", "customproducttype"},
			"price": {"variantprice"}, "image": {"imagesrc", "variantimage"}, "color": {"color(product.metafields.shopify.colorpattern)"}},
	},
	{
		name: "PrestaShop", any: []string{"categories(x,y,z...)", "active(0/1)", "imageurls(x,y,z...)", "price(taxexcl.)"}, path: splitPaths,
		names: map[string][]string{"id": {"productid", "id", "reference", "reference#"}, "title": {"name"}, "brand": {"manufacturer", "brand", "supplier"}, "category": {"categories(x,y,z...)", "category"},
			"description": {"description", "summary"}, "price": {"pricetaxincluded", "pricetaxexcluded", "pricetaxexcludedorpricetaxincluded", "price(taxincl.)", "price(taxexcl.)"},
			"image": {"imageurls(x,y,z...)", "image"}},
	},
	{
		name: "Magento", all: []string{"sku", "name"}, any: []string{"additionalattributes", "baseimage", "attributesetcode"}, path: deepestPath, expand: magentoAttributes,
		group: "sku", again: "storeviewcode", // a product has a row more for each language
		names: map[string][]string{"id": {"sku"}, "title": {"name"}, "description": {"description", "shortdescription"}, "image": {"baseimage", "smallimage", "thumbnailimage"}},
	},
	{
		name: "WooCommerce", all: []string{"name", "categories", "images"}, path: splitPaths,
		// Any shop may have those three.
		any: []string{"type+sku", "regularprice+sku", "saleprice+sku", "published", "isfeatured?", "visibilityincatalog", "instock?", "taxstatus", "backordersallowed?", "soldindividually?",
			"allowcustomerreviews?"},
		names: map[string][]string{"id": {"id", "sku"}, "title": {"name"}, "brand": {"brands", "brand"}, "description": {"description", "shortdescription"}, "price": {"saleprice", "regularprice"},
			"image": {"images"}},
	},
	{
		name: "WANDS", all: []string{"productid", "productname", "productclass"}, any: []string{"productfeatures", "categoryhierarchy"},
		names: map[string][]string{"category": {"categoryhierarchy", "productclass"}, "popularity": {"ratingcount", "reviewcount"}},
	},
	{
		name: "Chorus (Icecat)", all: []string{"id", "title", "supplier"}, any: []string{"img500x500", "attrtproducttype", "imghigh"}, cents: true,
		names: map[string][]string{"brand": {"supplier"}, "description": {"shortdescription"}, "category": {"attrtproducttype", "producttype"}, "image": {"img500x500", "imghigh", "imglow", "imgthumb"},
			"color": {"attrtproductcolour", "attrtproductcolor"}},
	},
	{
		name: "Google Merchant", all: []string{"id", "title"}, any: []string{"imagelink", "googleproductcategory", "availability"},
		names: map[string][]string{"category": {"producttype", "googleproductcategory"}, "price": {"saleprice", "price"}, "image": {"imagelink"}, "bullets": {"producthighlight"},
			"id": {"id", "guid"}, "description": {"description", "summary", "content"}},
	},
}

// recognisePreset returns the preset whose names are among those of a source's
// fields, or nil.
func recognisePreset(fields []string) *preset {
	there := map[string]bool{}
	for _, name := range fields {
		there[table.Fold(name)] = true
	}
	has := func(names string) bool {
		for name := range strings.SplitSeq(names, "+") {
			if !there[name] {
				return false
			}
		}
		return true
	}
	for _, p := range presets {
		missing := func(name string) bool { return !has(name) }
		if !slices.ContainsFunc(p.all, missing) && (len(p.any) == 0 || slices.ContainsFunc(p.any, has)) {
			return p
		}
	}
	return nil
}

// magentoName begins an attribute: a comma that no name follows is part of a value.
var magentoName = regexp.MustCompile(`(?:^|,)\s*"?([a-zA-Z][a-zA-Z0-9_]*)=`)

// magentoAttributes adds what additional_attributes holds of a product: it is
// written as brand=Acme, Inc.,color=Blue.
func magentoAttributes(cells []cell) []cell {
	at := slices.IndexFunc(cells, func(c cell) bool { return table.Fold(c.name) == "additionalattributes" })
	if at < 0 {
		return cells
	}
	more := slices.Clone(cells)
	text := cells[at].text
	names := magentoName.FindAllStringSubmatchIndex(text, -1)
	for i, found := range names {
		end := len(text)
		if i+1 < len(names) {
			end = names[i+1][0]
		}
		switch name := text[found[2]:found[3]]; name {
		case "color", "brand", "manufacturer":
			more = append(more, cell{name: name, text: strings.Trim(text[found[1]:end], `" `)})
		}
	}
	return more
}
